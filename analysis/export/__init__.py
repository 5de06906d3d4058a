"""What is exported: captions, tables, pictures, code, and the bundle of everything."""
