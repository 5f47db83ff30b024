"""The pages, one module for each area: what a request asks for, what the template is given."""
