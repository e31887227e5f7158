"""Can a budget be met?"""
