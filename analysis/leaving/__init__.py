"""What leaves: captions, tables, pictures, code, and the bundle of everything."""
