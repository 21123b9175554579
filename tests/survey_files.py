"""Small files in the layouts of the surveys, with known contents, and the way to read them."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hydra.utils import instantiate
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
real = pytest.mark.skipif(not DATA.exists(), reason="the survey files are not here")
SURVEYS = ["sdss", "desi", "manga", "manga_cube", "eso", "table"]  # whose files have redshifts
EVERY = [*SURVEYS, "jwst", "pfs", "aaomega", "stack"]
UNIT = "1e-17 erg/s/cm2/Angstrom"
PLACE = (146.71421, -1.0413043)  # RA and DEC, degrees
CAMERAS = {"B": (3600.0, 2751), "R": (5760.0, 2326), "Z": (7520.0, 2881)}
# Wavelengths of the pixels of spectra, Angstrom.
NATIVE = {
    "linear": 3600 + 0.8 * np.arange(7781),
    "log": 10 ** (3.58 + 1e-4 * np.arange(3848)),
}


def write(path, *hdus, **cards):
    """Write HDUs behind an empty primary one; .gz files without a time stamp."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    primary = fits.PrimaryHDU()
    primary.header.update(cards)
    fits.HDUList([primary, *hdus]).writeto(plain, overwrite=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
        plain.unlink()
    return path


def image(name, values, **cards):
    hdu = fits.ImageHDU(values, name=name)
    hdu.header.update(cards)
    return hdu


def continuum(wave):
    """A flux density that every reader must bring back."""
    return 20 + 1e-3 * (wave - 4000)


def table(path, rows=5, unit=UNIT, ivar_unit=None, pixels=3000, **changes):
    """The layout for a user's own spectra; changes replace columns, None removes one."""
    wave = np.tile(4000 + 1.8 * np.arange(pixels), (rows, 1)).astype(np.float64)
    vector = f"{pixels}E"
    columns = {
        "ID": ("12A", None, np.array([f"galaxy {k}" for k in range(rows)])),
        "Z": ("D", None, 0.05 + 0.01 * np.arange(rows)),
        "WAVE": (f"{pixels}D", "Angstrom", wave),
        "FLUX": (vector, unit, continuum(wave)),
        "IVAR": (vector, ivar_unit, np.ones((rows, pixels))),
        "EBV": ("E", None, np.full(rows, 0.02)),
        "DISTANCE": ("E", "Mpc", np.full(rows, np.nan)),
    }
    for name, values in changes.items():
        kind, text, _ = columns.pop(name)
        if values is not None:
            columns[name] = (kind, text, values)
    made = [fits.Column(n, k, unit=u, array=v) for n, (k, u, v) in columns.items()]
    return write(path, fits.BinTableHDU.from_columns(made, name="SPECTRA"))


def sdss(
    path, kind="GALAXY", zwarning=0, mask=(), pixels=3800, zred=0.05, loglam=3.58, best="SPECOBJ",
    coadd="COADD", upper=False, keys=("PLATE", "MJD", "FIBERID"), drop=(), behind=(), wdisp=None,
    sub=None, fiber=7,
):  # fmt: skip
    """A spec file of the SDSS family; mask: (pixel, bit) pairs of and_mask.

    best, coadd: names of the tables; upper: case of the columns; keys: what identifies the
    object; drop: columns that are not there; behind: further HDUs; sub: its SUBCLASS; fiber:
    its number.
    """
    log = (loglam + 1e-4 * np.arange(pixels)).astype(np.float32)
    and_mask = np.zeros(pixels, dtype=np.int32)
    for pixel, bit in mask:
        and_mask[pixel] |= 1 << bit
    columns = {
        "flux": ("E", continuum(10.0**log)),
        "loglam": ("E", log),
        "ivar": ("E", np.ones(pixels)),
        "and_mask": ("J", and_mask),
        "or_mask": ("J", np.full(pixels, 1 << 24)),
    }
    if wdisp is not None:
        columns["wdisp"] = ("E", wdisp)
    values = {"PLATE": 266, "MJD": 51602, "FIBERID": fiber, "FIELD": 15000, "CATALOGID": 4375924049}
    row = {name: ("K", [values[name]]) for name in keys}
    row |= {
        name: ("D", [value]) for name, value in zip(("PLUG_RA", "PLUG_DEC"), PLACE, strict=True)
    }
    row |= {"SURVEY": ("6A", ["sdss"]), "PROGRAMNAME": ("23A", ["legacy"])}
    row |= {} if sub is None else {"SUBCLASS": ("21A", [sub])}
    row |= {"CLASS": ("6A", [kind]), "Z": ("E", [zred]), "ZWARNING": ("J", [zwarning])}

    def made(chosen, name):
        return fits.BinTableHDU.from_columns(
            [
                fits.Column(key.upper() if upper else key, form, array=values)
                for key, (form, values) in chosen.items()
                if key not in drop
            ],
            name=name,
        )

    return write(path, made(columns, coadd), made(row, best), *behind)


def desi(
    folder, name="main-bright-1", rows=6, status=None, spectype=None, drop=(), shuffle=True,
    first=0, cards=None, exposures=None,
):  # fmt: skip
    """A coadd and its redrock file, in another row order; drop: rows that redrock lacks.

    first: number of the first target; cards: of the first header; exposures: the file is
    spectra-*, with so many rows of each target.
    """
    rng, each = np.random.default_rng(rows), exposures or 1
    target = 39_633_345_008_634_465 + first + np.arange(rows, dtype=np.int64)
    fibers = [
        fits.Column("TARGETID", "K", array=np.repeat(target, each)),
        fits.Column(
            "FIBERSTATUS" if exposures else "COADD_FIBERSTATUS", "J",
            array=np.repeat(np.zeros(rows) if status is None else status, each),
        ),
        fits.Column("OBJTYPE", "3A", array=["TGT"] * rows * each),
        fits.Column("EBV", "E", array=np.full(rows * each, 0.05)),
        fits.Column("TARGET_RA", "D", array=np.full(rows * each, PLACE[0])),
        fits.Column("TARGET_DEC", "D", array=np.full(rows * each, PLACE[1])),
    ]  # fmt: skip
    if exposures:
        fibers.append(fits.Column("EXPID", "J", array=np.tile(68657 + np.arange(each), rows)))
    hdus = [fits.BinTableHDU.from_columns(fibers, name="FIBERMAP")]
    for camera, (first, pixels) in CAMERAS.items():
        wave = first + 0.8 * np.arange(pixels)
        shape = (rows * each, pixels)
        noise = rng.uniform(0.5, 2.0, shape)
        hdus += [
            image(f"{camera}_WAVELENGTH", wave),
            image(
                f"{camera}_FLUX",
                np.tile(continuum(wave), (rows * each, 1)).astype("f4"),
                BUNIT=UNIT,
            ),
            image(f"{camera}_IVAR", noise.astype("f4")),
            image(f"{camera}_MASK", (rng.random(shape) < 0.002).astype("i4")),
            # Broken on purpose: a reader that touches it gets no spectra.
            image(f"{camera}_RESOLUTION", np.zeros((1, 1, 1), dtype="f4")),
        ]
    kind = "spectra" if exposures else "coadd"
    coadd = write(folder / f"{kind}-{name}.fits", *hdus, **(cards or {}))
    keep = np.setdiff1d(np.arange(rows), drop)
    order = rng.permutation(keep) if shuffle else keep
    kinds = np.array(["GALAXY"] * rows if spectype is None else spectype)
    redshifts = [
        fits.Column("TARGETID", "K", array=target[order]),
        fits.Column("Z", "D", array=0.05 + 0.01 * order),
        fits.Column("ZWARN", "K", array=np.zeros(len(order))),
        fits.Column("SPECTYPE", "6A", array=kinds[order]),
    ]
    write(
        folder / f"redrock-{name}.fits", fits.BinTableHDU.from_columns(redshifts, name="REDSHIFTS")
    )
    return coadd


def manga(path, rows=3, masked=()):
    """Spectra as images; rows in `masked` have bit 10 set everywhere and nonsense beneath."""
    wave = 10 ** (3.5589 + 1e-4 * np.arange(4563))
    flux = np.tile(continuum(wave), (rows, 1)).astype("f4")
    mask = np.zeros(flux.shape, dtype="i4")
    for row in masked:
        mask[row], flux[row] = 1 << 10, -1.0
    return write(
        path,
        image("WAVE", wave),
        image("FLUX", flux),
        image("IVAR", np.ones(flux.shape, dtype="f4")),
        image("MASK", mask),
        image("SRES", np.full(flux.shape, -1.0)),
        image("Z", np.linspace(0.02, 0.04, rows)),
    )


ESO_UNIT = "10**(-17)erg.cm**(-2).s**(-1).angstrom**(-1)"
# Name, unit, TUCD and TUTYP of the columns of ESO's spectra.
ESO = {
    "WAVE": ("angstrom", "em.wl;obs.atmos", "spec:Data.SpectralAxis.Value"),
    "FLUX": (ESO_UNIT, "phot.flux.density;em.wl;src.net;meta.main", "spec:Data.FluxAxis.Value"),
    "ERR": (
        ESO_UNIT,
        "stat.error;phot.flux.density;em.wl",
        "spec:Data.FluxAxis.Accuracy.StatError",
    ),
    "QUAL": (None, "meta.code.qual;meta.main", "spec:Data.FluxAxis.Accuracy.QualityStatus"),
    "UNCORR_FLUX": (ESO_UNIT, "phot.flux.density;em.wl", "vandels:Data.FluxAxis.Value"),
    "SKY": ("adu", None, None),
}


def eso(path, pixels=2154, qual=(), rows=1, cards=None, drop=(), units=None, arrays=None, **head):
    """A spectrum of ESO's archive: one row of arrays, with the keywords of VANDELS.

    qual: pixels with QUAL 1; cards: of the table (None takes one out), head: of the first header;
    drop: columns that are not there; units, arrays: other ones, by column.
    """
    wave = 4801.25 + 2.55 * np.arange(pixels)
    values = {"WAVE": wave, "FLUX": continuum(wave), "ERR": np.ones(pixels),
              "QUAL": np.isin(np.arange(pixels), qual).astype("i4"),
              "UNCORR_FLUX": np.full(pixels, -9.0), "SKY": np.full(pixels, -9.0)}  # fmt: skip
    values |= arrays or {}
    said = {name: (units or {}).get(name, entry[0]) for name, entry in ESO.items()}
    columns = [
        fits.Column(name, f"{len(v)}{'J' if name == 'QUAL' else 'D'}", unit=said[name],
                    array=np.tile(v, (rows, 1)))
        for name, v in values.items()
        if name not in drop
    ]  # fmt: skip
    table = fits.BinTableHDU.from_columns(columns, name="SPECTRAL CONTAINER")
    for k, column in enumerate(table.columns, start=1):
        for key, value in zip(("TUCD", "TUTYP"), ESO[column.name][1:], strict=True):
            if value:
                table.header[f"{key}{k}"] = value
    for key, value in (cards or {}).items():
        table.header[key] = value
        if value is None:
            del table.header[key]
    head = {"OBJECT": "VANDELS_1", "SPECSYS": "TOPOCENT", "SPEC_RES": 580, "REDSHIFT": 0.6} | head
    return write(path, table, **{k: v for k, v in head.items() if v is not None})


def jwst(path, kind="SPEC1D", objects=1, name="1345_933", units=None, arrays=None, drop=()):
    """Spectra of NIRSpec, a table with a pixel a row for each object: 20 uJy at any wavelength.

    units, arrays: other ones, by what they are (wave, flux, error, DQ); drop: columns not there.
    """
    wave = np.linspace(0.58, 5.3, 414)
    own = kind == "SPEC1D"
    values = {"wave": wave, "flux": np.full(414, 20.0), "error": np.full(414, 2.0)}
    if not own:
        values["DQ"] = np.zeros(414, dtype="i4")
        values |= {key: 1e-6 * values[key] for key in ("flux", "error")}
    called = dict(zip(values, ("wave", "flux", "err") if own else
                      ("WAVELENGTH", "FLUX", "FLUX_ERROR", "DQ"), strict=True))  # fmt: skip
    said = {"wave": "um", "flux": "uJy" if own else "Jy", "error": "uJy" if own else "Jy"}
    said |= units or {}
    tables = []
    for k in range(objects):
        columns = [
            fits.Column(called[key], "J" if key == "DQ" else "D", unit=said.get(key), array=v)
            for key, v in (values | (arrays or {})).items()
            if key not in drop
        ]
        tables.append(fits.BinTableHDU.from_columns(columns, name=kind))
        if name:
            tables[-1].header["SRCNAME"] = f"{name}{k or ''}"
    return write(path, *tables, image("SCI", np.zeros((3, 3))))


def stack(path, rows=2, zred=0.0, drop=()):
    """Stacks as fastspecfit has them, at rest."""
    wave = 2500.0 + 0.4 * np.arange(11_000)
    flux = np.tile(continuum(wave), (rows, 1)).astype("f4")
    info = [
        fits.Column("STACKID", "J", array=np.arange(rows)),
        fits.Column("Z", "D", array=np.full(rows, zred)),
        fits.Column("ZMED", "E", array=np.full(rows, 0.43)),
    ]
    made = [
        image("FLUX", flux), image("IVAR", np.ones_like(flux)),
        image("WAVE", wave, BUNIT="Angstrom", AIRORVAC="vac"),
        fits.BinTableHDU.from_columns([c for c in info if c.name not in drop], name="STACKINFO"),
    ]  # fmt: skip
    return write(path, *made)


def pfs(path, pixels=4400, images=True, table=True, planes=True, mask=None, unit=None, axis=True):
    """A pfsObject: 20 uJy everywhere; images, table: what is there; axis: wavelengths by header."""
    nm = 380 + 0.2 * np.arange(pixels)
    flux, variance = np.full(pixels, 20_000.0), np.full(pixels, 2000.0**2)
    mask = np.zeros(pixels, dtype="i4") if mask is None else mask
    bits = {"MP_BAD": 0, "HIERARCH MP_DETECTED": 5, "HIERARCH MP_NO_DATA": 8} if planes else {}
    head = {"CRPIX1": 1.0, "CRVAL1": 380.0, "CDELT1": 0.2} if axis else {}
    head |= {"BUNIT": unit} if unit else {}
    hdus = []
    if images:
        covariance = np.stack([variance, np.zeros(pixels), np.zeros(pixels)]).astype("f4")
        hdus += [image("FLUX", flux.astype("f4"), **head), image("MASK", mask, **bits),
                 image("COVAR", covariance)]  # fmt: skip
        hdus += [] if axis else [image("WAVELENGTH", nm)]
    if table:
        columns = [
            fits.Column("wavelength", "D", array=nm), fits.Column("flux", "E", array=flux),
            fits.Column("error", "E", array=np.sqrt(variance)),
            fits.Column("mask", "K", array=mask),
        ]  # fmt: skip
        hdus.append(fits.BinTableHDU.from_columns(columns, name="FLUX_TABLE"))
        hdus[-1].header.update(bits)
    target = fits.BinTableHDU.from_columns([fits.Column("filterName", "1A", array=["g"])])
    target.name = "TARGET"
    target.header.update({"CATID": 7, "TRACT": 1, "PATCH": "1,1", "OBJID": 123_456_789_012_345,
                          "RA": PLACE[0], "DEC": PLACE[1]})  # fmt: skip
    return write(path, *hdus, target)


def aaomega(path, rows=3, unit=UNIT, wavelengths=False, drop=(), **cards):
    """A field of AAOmega as 2dfdr has it; wavelengths: those in vacuum in an HDU of their own."""
    pixels = 5000
    head = {"CRVAL1": 6300.0, "CDELT1": 1.04, "CRPIX1": 2500.5, "CUNIT1": "Angstroms",
            "CTYPE1": "Wavelength"}  # fmt: skip
    head |= {"BUNIT": unit} if unit else {}
    head |= cards
    wave = 6300 + 1.04 * (np.arange(1, pixels + 1) - 2500.5)
    flux = np.tile(continuum(wave), (rows, 1)).astype("f4")
    columns = [
        fits.Column("NAME", "80A", array=[f"G{k}" for k in range(rows)]),
        fits.Column("RA", "D", array=np.full(rows, np.radians(PLACE[0]))),
        fits.Column("DEC", "D", array=np.full(rows, np.radians(PLACE[1]))),
        fits.Column("TYPE", "1A", array=["P"] * (rows - 1) + ["S"]),
    ]
    columns = [column for column in columns if column.name not in drop]
    primary = fits.PrimaryHDU(flux)
    primary.header.update({key: value for key, value in head.items() if value is not None})
    hdus = [primary, image("VARIANCE", np.ones_like(flux))]
    hdus += [image("WAVELENGTH", wave)] if wavelengths else []
    hdus.append(fits.BinTableHDU.from_columns(columns, name="FIBRES"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def manga_cube(path, bins=None, rss=False, size=(3, 4), redshift=0.03, **cards):
    """A LOGCUBE, with bins one of the DAP, or a LOGRSS; the level goes up from bin to bin."""
    wave = 10 ** (3.5589 + 1e-4 * np.arange(4563))
    rows = size[0] * size[1]
    level = np.ones(rows) if bins is None else 1 + 0.01 * np.maximum(bins.ravel(), 0)
    flux = (level[:, None] * continuum(wave)).astype("f4")
    each = "fiber" if rss else "spaxel"
    if not rss:
        flux = np.moveaxis(flux.reshape(*size, -1), -1, 0)
    sky = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "WAVE-LOG", "CRPIX1": 2.0,
           "CRPIX2": 2.0, "CRVAL1": PLACE[0], "CRVAL2": PLACE[1], "CD1_1": -1.4e-4,
           "CD2_2": 1.4e-4, "CD3_3": 1.0, "CUNIT1": "deg", "CUNIT2": "deg"}  # fmt: skip
    unit = {"BUNIT": f"1E-17 erg/s/cm^2/Ang/{each}"}
    hdus = [
        image("FLUX", flux, **unit, **({} if rss else sky)),
        image("IVAR", np.ones_like(flux)),
        image("MASK", np.zeros(flux.shape, dtype="i4")),
        image("WAVE", wave),
        image("SPECRES", np.full(len(wave), 2000.0)),
    ]
    if rss:
        hdus.append(fits.BinTableHDU.from_columns([fits.Column("MJD", "J", array=[1])]))
        hdus[-1].name = "OBSINFO"
    if bins is not None:
        hdus.append(image("BINID", np.stack([bins] * 5).astype("i4")))
    head = {"PLATEIFU": "7443-12703", "OBJRA": PLACE[0], "OBJDEC": PLACE[1], "EBVGAL": 0.02}
    head |= {"SCINPVEL": redshift * 299_792.458} if redshift else {}
    return write(path, *hdus, **(head | cards))


def make(name, folder):
    """A good file of one survey."""
    return {
        "sdss": lambda: sdss(folder / "spec-0266-51602-0007.fits"),
        "desi": lambda: desi(folder),
        "manga": lambda: manga(folder / "stack.fits.gz"),
        "eso": lambda: eso(folder / "vandels.fits"),
        "jwst": lambda: jwst(folder / "1345_933.spec.fits"),
        "manga_cube": lambda: manga_cube(folder / "manga-7443-12703-LOGCUBE.fits.gz"),
        "pfs": lambda: pfs(folder / "pfsObject-00007-1.fits"),
        "aaomega": lambda: aaomega(folder / "field.fits"),
        "stack": lambda: stack(folder / "stack-LRG.fits"),
        "table": lambda: table(folder / "own.fits"),
    }[name]()


def configured(name):
    """The survey as its configuration makes it."""
    return instantiate(OmegaConf.load(ROOT / "conf" / "survey" / f"{name}.yaml"), _convert_="all")


def read(survey, path, rows=None):
    """All rows of a file as one record each block."""
    (source,) = survey.sources([Path(path)])
    return list(survey.read(source, rows or slice(0, survey.count(source))))


def change(path, edit):
    """Rewrite a file after an edit of its HDUs, a list."""
    with fits.open(path) as hdus:
        kept = edit([hdu.copy() for hdu in hdus])
    fits.HDUList(kept).writeto(path, overwrite=True)
    return path


def lose(table, column, other=None):
    """An edit that takes a column out of a table, or renames it."""

    def edit(hdus):
        for k, hdu in enumerate(hdus):
            if hdu.name == table:
                columns = [c for c in hdu.columns if c.name != column or other]
                for c in columns:
                    c.name = other if c.name == column else c.name
                hdus[k] = fits.BinTableHDU.from_columns(columns, name=table)
        return hdus

    return edit
