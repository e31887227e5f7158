"""The pages, and what of them is made from the code while the site is built (`make docs`)."""
