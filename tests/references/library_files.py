"""Write small image files with the libraries of their formats.

Each function returns what writes `a.SUFFIX` into a folder and returns its path; it skips the test
where the library is not installed.
"""

import warnings

import numpy as np
import pytest


def grey(values, dtype):
    return np.array([values] * len(values)).astype(dtype)


def colour(values, dtype="u1", side=16):
    return np.broadcast_to(np.array(values, dtype), (side, side, len(values))).copy()


def planes(values, dtype="u1", side=16):
    return np.moveaxis(colour(values, dtype, side), -1, 0).copy()


def tiff(pixels, **options):
    """Return what writes this with tifffile."""

    def write(folder):
        pytest.importorskip("tifffile").imwrite(folder / "a.tif", pixels, **options)
        return folder / "a.tif"

    return write


def raster(pixels, driver="GTiff", suffix=".tif", colours=None, palette=None, **options):
    """Return what writes bands (B, H, W) with rasterio."""

    def write(folder):
        rasterio = pytest.importorskip("rasterio")
        path = folder / f"a{suffix}"
        bands, height, width = pixels.shape
        size = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype}
        with warnings.catch_warnings():  # of files without a place on Earth
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, "w", driver=driver, **size, **options) as file:
                if colours:
                    file.colorinterp = [rasterio.enums.ColorInterp[name] for name in colours]
                if palette:
                    file.write_colormap(1, palette)
                file.write(pixels)
        return path

    return write


def jpeg2000(pixels, **options):
    lossless = {"QUALITY": 100, "REVERSIBLE": "YES"}
    return raster(pixels, "JP2OpenJPEG", ".jp2", **lossless, **options)


def picture(pixels, suffix, **options):
    """Return what writes this with imageio."""

    def write(folder):
        imageio = pytest.importorskip("imageio.v3")
        imageio.imwrite(folder / f"a{suffix}", pixels, **options)
        return folder / f"a{suffix}"

    return write


def dicom(pixels, photometric="MONOCHROME2", bits=None, **tags):
    """Return what writes this with pydicom."""

    def write(folder):
        pydicom = pytest.importorskip("pydicom")
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        data = pydicom.Dataset()
        data.file_meta = meta
        data.SOPClassUID = meta.MediaStorageSOPClassUID
        data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        for name, value in tags.items():
            setattr(data, name, value)
        data.set_pixel_data(pixels, photometric, bits or 8 * pixels.itemsize)
        data.save_as(folder / "a.dcm", enforce_file_format=True)
        return folder / "a.dcm"

    return write
