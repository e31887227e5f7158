"""`netadapt token`"""
