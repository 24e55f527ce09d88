//! The one call into libwebp: a raster to a bare lossy WebP.
//!
//! C is used here because there is no lossy WebP encoder in Rust. The library allocates its
//! planes itself and frees them when the guard goes; what it writes is appended to our buffer by
//! a callback that never unwinds. Alpha is kept without loss.
//!
//! Method 2 of 6 without a search for the alpha plane's filter: on cut-outs of 640x480 29 ms, where
//! the library's defaults (method 4, filter) take 70 ms and save 3 %; method 0 takes 18 ms and
//! costs 40 % more bytes (measured). All unsafe code of encoding's C side is in this file.

use std::ffi::{c_int, c_void};

use libwebp_sys::{
    WebPConfig, WebPEncode, WebPEncodingError, WebPPicture, WebPPictureFree, WebPPictureImportRGB,
    WebPPictureImportRGBA,
};

use super::{Format, failed};
use crate::error::Kind;
use crate::image::{Raster, resize_buffer};

const METHOD: c_int = 2;

/// Frees what the library allocated for a picture.
struct Picture(WebPPicture);

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: `WebPPicture::new` initialized the struct; freeing is allowed in any state since.
        unsafe { WebPPictureFree(&mut self.0) }
    }
}

/// Appends a bare lossy file to `out`. `rgb` is scratch for masks.
pub(super) fn lossy(
    raster: Raster<'_>,
    quality: u8,
    rgb: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Kind> {
    let mismatch = |()| failed(Format::Webp, "libwebp is of another version than its headers");
    let mut config = WebPConfig::new().map_err(mismatch)?;
    config.quality = f32::from(quality);
    config.method = METHOD;
    config.alpha_filtering = 0;

    let mut picture = Picture(WebPPicture::new().map_err(mismatch)?);
    // Both sides are at most 16383 (checked by the caller), so a row's bytes fit as well.
    let width = raster.size().width as c_int;
    picture.0.width = width;
    picture.0.height = raster.size().height as c_int;
    let imported = match raster {
        // SAFETY: an Rgba8 holds width x height x 4 contiguous bytes (image.rs), and the
        // picture's sides were set to its size above.
        Raster::Rgba(p) => unsafe {
            WebPPictureImportRGBA(&mut picture.0, p.data().as_ptr(), width * 4)
        },
        // SAFETY: the same with 3 bytes a pixel.
        Raster::Rgb(p) => unsafe {
            WebPPictureImportRGB(&mut picture.0, p.data().as_ptr(), width * 3)
        },
        Raster::Gray(p) => {
            resize_buffer(rgb, p.data().len() * 3)?;
            for (pixel, &level) in rgb.chunks_exact_mut(3).zip(p.data()) {
                pixel.fill(level);
            }
            // SAFETY: `rgb` was given 3 bytes for each of the mask's pixels just above.
            unsafe { WebPPictureImportRGB(&mut picture.0, rgb.as_ptr(), width * 3) }
        }
    };
    let out_of_memory = || Kind::OutOfMemory { bytes: raster.data().len() as u64 };
    if imported == 0 {
        return Err(out_of_memory());
    }

    picture.0.writer = Some(append);
    picture.0.custom_ptr = (out as *mut Vec<u8>).cast::<c_void>();
    // SAFETY: config and picture are initialized; `custom_ptr` is the exclusive borrow `out`,
    // which outlives the call and is used by nobody else meanwhile; the writer matches it.
    let done = unsafe { WebPEncode(&config, &mut picture.0) };
    match (done, picture.0.error_code) {
        (0, WebPEncodingError::VP8_ENC_ERROR_OUT_OF_MEMORY)
        | (0, WebPEncodingError::VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY)
        | (0, WebPEncodingError::VP8_ENC_ERROR_BAD_WRITE) => Err(out_of_memory()),
        (0, code) => Err(failed(Format::Webp, format!("libwebp says {code:?}"))),
        _ => Ok(()),
    }
}

/// The library's writer: appends to the Vec behind `custom_ptr`; 0 stops the encoder.
unsafe extern "C" fn append(data: *const u8, size: usize, picture: *const WebPPicture) -> c_int {
    if size == 0 {
        return 1;
    }
    // SAFETY: the library passes the picture given to `WebPEncode`, whose `custom_ptr` is the
    // `out` of `lossy`, and `size` readable bytes at `data`.
    let (out, bytes) = unsafe {
        (&mut *(*picture).custom_ptr.cast::<Vec<u8>>(), std::slice::from_raw_parts(data, size))
    };
    if out.try_reserve(size).is_err() {
        return 0;
    }
    out.extend_from_slice(bytes);
    1
}
