"""Names of the bits of the surveys' pixel masks, for the tables of their pages.

Which of them make a pixel bad is said by `bad_bits` in conf/survey.

References:
    SDSS: sdss3.org/dr10/algorithms/bitmask_sppixmask.php (SPPIXMASK).
    MaNGA: MANGA_DRP3PIXMASK of sdssMaskbits.par in idlutils.
    DESI: specmask of desispec.maskbits.
"""

__all__ = ["MASK_BITS"]

# Survey -> bit -> its name, and when it is set.
MASK_BITS = {
    "sdss": {
        0: ("NOPLUG", "of the fibre: not among those that were plugged"),
        1: ("BADTRACE", "of half a spectrum: its trace is bad"),
        2: ("BADFLAT", "of half a spectrum: few counts in the flat field"),
        3: ("BADARC", "of half a spectrum: a bad wavelength solution"),
        4: ("MANYBADCOLUMNS", "of half a spectrum: a tenth of its pixels are bad columns"),
        5: ("MANYREJECTED", "of half a spectrum: a tenth of its pixels was rejected"),
        6: ("LARGESHIFT", "of half a spectrum: flat field and object are apart"),
        7: ("BADSKYFIBER", "of half a spectrum: a sky fibre with extreme residuals"),
        8: ("NEARWHOPPER", "of half a spectrum: near a very bright fibre"),
        9: ("WHOPPER", "of half a spectrum: very bright"),
        16: ("NEARBADPIXEL", "a bad pixel within three of the trace"),
        17: ("LOWFLAT", "flat field below 0.5"),
        18: ("FULLREJECT", "rejected as a whole: ivar is 0"),
        19: ("PARTIALREJECT", "rejected in part"),
        20: ("SCATTEREDLIGHT", "much scattered light"),
        21: ("CROSSTALK", "much light of neighbouring fibres"),
        22: ("NOSKY", "the sky is not known"),
        23: ("BRIGHTSKY", "the sky is bright beside the object and its surroundings"),
        24: ("NODATA", "no data in the sum of exposures"),
        25: ("COMBINEREJ", "rejected in the sum of exposures"),
        26: ("BADFLUXFACTOR", "a low factor of flux calibration"),
        27: ("BADSKYCHI", "the sky's residuals are large"),
        28: ("REDMONSTER", "the sky's residuals are large over a stretch"),
    },
    "manga_cube": {
        0: ("NOCOV", "no fibre covers it"),
        1: ("LOWCOV", "few fibres cover it"),
        2: ("DEADFIBER", "a fibre that would count most is dead"),
        3: ("FORESTAR", "a star in front"),
        10: ("DONOTUSE", "not to be used for science"),
    },
    "desi": {
        0: ("SOMEBADPIX", "some of the pixels behind it are masked"),
        1: ("ALLBADPIX", "all of them are"),
        2: ("COSMIC", "a cosmic ray among them"),
        3: ("LOWFLAT", "flat field below 0.5"),
        4: ("BADFIBERFLAT", "no good flat field of the fibre"),
        5: ("BRIGHTSKY", "a bright sky"),
        6: ("BADSKY", "a bad model of the sky"),
        7: ("BAD2DFIT", "the extraction does not fit the image"),
    },
}
