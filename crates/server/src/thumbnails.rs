//! Small pictures of pictures, made when somebody asks and kept within a bound.

use std::io::Cursor;

use bytes::Bytes;
use image::{ImageFormat, ImageReader, Limits};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tidestore::plan::{AppId, AttachmentId};
use tokio::sync::Semaphore;

/// Pictures up to this size are their own thumbnail, by the reference.
pub(crate) const OWN_THUMBNAIL_BYTES: u64 = 10 << 10;
/// The longer side when nothing is asked for, in pixels, by the reference.
pub(crate) const SIDE: u32 = 170;
/// Longest side that may be asked for.
pub(crate) const SIDE_MAX: u32 = 1_024;
/// A picture that is larger when it is unpacked has no thumbnail: 10,000 pixels square would be 400 MB.
const PIXELS_SIDE_MAX: u32 = 8_192;
const UNPACKED_BYTES: u64 = 128 << 20;
/// Pictures that are unpacked at the same time; each takes up to the above.
const AT_ONCE: usize = 2;

type Key = (AppId, AttachmentId);

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Bytes> for Weight {
    fn weight(&self, _: &Key, picture: &Bytes) -> u64 {
        picture.len() as u64 + 64
    }
}

/// Thumbnails that were asked for.
pub(crate) struct Thumbnails {
    kept: Cache<Key, Bytes, Weight>,
    places: Semaphore,
}

impl std::fmt::Debug for Thumbnails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Thumbnails")
            .field("bytes", &self.kept.weight())
            .finish_non_exhaustive()
    }
}

impl Thumbnails {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            kept: Cache::with_weighter(bytes / 8_192 + 16, bytes as u64, Weight),
            places: Semaphore::new(AT_ONCE),
        }
    }

    pub(crate) fn get(&self, app: AppId, id: AttachmentId) -> Option<Bytes> {
        self.kept.get(&(app, id))
    }

    /// Makes the thumbnail of a picture, a JPEG; `None` if it is no picture, or too large a one.
    pub(crate) async fn make(
        &self,
        app: AppId,
        id: AttachmentId,
        picture: Bytes,
        (width, height): (u32, u32),
    ) -> Option<Bytes> {
        let _place = self.places.acquire().await.ok()?;
        let made = tokio::task::spawn_blocking(move || shrink(&picture, width, height));
        let made = made.await.ok().flatten()?;
        self.kept.insert((app, id), made.clone());
        Some(made)
    }
}

fn shrink(picture: &[u8], width: u32, height: u32) -> Option<Bytes> {
    let mut reader = ImageReader::new(Cursor::new(picture))
        .with_guessed_format()
        .ok()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(PIXELS_SIDE_MAX);
    limits.max_image_height = Some(PIXELS_SIDE_MAX);
    limits.max_alloc = Some(UNPACKED_BYTES);
    reader.limits(limits);
    let picture = reader.decode().ok()?;
    let small = picture.thumbnail(width.clamp(1, SIDE_MAX), height.clamp(1, SIDE_MAX));
    let mut jpeg = Cursor::new(Vec::new());
    small
        .to_rgb8()
        .write_to(&mut jpeg, ImageFormat::Jpeg)
        .ok()?;
    Some(jpeg.into_inner().into())
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    fn png(width: u32, height: u32) -> Bytes {
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(width, height)
            .write_to(&mut png, ImageFormat::Png)
            .unwrap();
        png.into_inner().into()
    }

    #[tokio::test]
    async fn a_thumbnail_keeps_its_shape_and_is_kept() {
        let thumbnails = Thumbnails::new(1 << 20);
        let (app, id) = (AppId(1), AttachmentId::from_bits(7));
        let made = thumbnails
            .make(app, id, png(800, 400), (SIDE, SIDE))
            .await
            .unwrap();
        let small = image::load_from_memory(&made).unwrap();
        assert_eq!((small.width(), small.height()), (170, 85));
        assert_eq!(thumbnails.get(app, id), Some(made));
        assert_eq!(thumbnails.get(AppId(2), id), None);
    }

    #[tokio::test]
    async fn what_is_no_picture_or_too_large_a_one_has_none() {
        let thumbnails = Thumbnails::new(1 << 20);
        let id = AttachmentId::from_bits(7);
        for picture in [
            Bytes::from_static(b"text"),
            png(9_000, 1),
            png(10, 10).slice(..20),
        ] {
            assert_eq!(
                thumbnails.make(AppId(1), id, picture, (SIDE, SIDE)).await,
                None
            );
        }
    }

    #[tokio::test]
    async fn the_bound_holds() {
        let thumbnails = Thumbnails::new(64 << 10);
        for number in 0..200 {
            let id = AttachmentId::from_bits(number);
            thumbnails
                .make(AppId(1), id, png(200, 200), (SIDE, SIDE))
                .await
                .unwrap();
        }
        assert!(thumbnails.kept.weight() <= 64 << 10);
    }
}
