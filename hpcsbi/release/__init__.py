"""Files that leave the house: a catalogue as FITS, Parquet and HATS, each telling what it is."""
