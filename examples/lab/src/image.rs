//! The image that the lab serves and what it reads from a disk: a header that names the image, then data with a digest,
//! so that half an image or one written over leftovers does not boot.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// The schematic without any customization, which every factory knows.
pub(crate) const VANILLA: &str = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";

const TALOS: &[u8] = b"ZTC-LAB-TALOS-IMAGE\n";
const OLD_SYSTEM: &[u8] = b"ZTC-LAB-OLD-SYSTEM\n";
const BLOCK: usize = 4096;
const BLOCKS: usize = 2304;
/// Empty blocks of the data: the second four megabytes of the disk, so that writing in such pieces leaves a hole.
const HOLE: std::ops::Range<usize> = 1023..2047;
/// The size of a simulated disk.
pub(crate) const DISK_SIZE: u64 = 16 * 1024 * 1024;

/// An image's origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Image {
    /// The Talos version.
    pub(crate) version: String,
    /// The schematic.
    pub(crate) schematic: String,
    /// `amd64` or `arm64`.
    pub(crate) architecture: String,
    /// `hcloud` or `metal`.
    pub(crate) platform: String,
}

/// What a disk holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Contents {
    /// Nothing that boots.
    Nothing,
    /// The system that was there before.
    OldSystem,
    /// A whole image.
    Talos(Image),
}

impl Image {
    /// Reads `<schematic>`, `<version>` and `<platform>-<architecture>.raw.xz`; `None`: the factory has no such image.
    pub(crate) fn from_path(schematic: &str, version: &str, file: &str) -> Option<Self> {
        let (platform, architecture) = file.strip_suffix(".raw.xz")?.split_once('-')?;
        let known =
            ["hcloud", "metal"].contains(&platform) && ["amd64", "arm64"].contains(&architecture);
        let hexadecimal =
            schematic.len() == 64 && schematic.bytes().all(|byte| byte.is_ascii_hexdigit());
        let numbered = version
            .strip_prefix('v')
            .is_some_and(|rest| rest.split('.').count() == 3);
        (known && hexadecimal && numbered).then(|| Self {
            version: version.into(),
            schematic: schematic.into(),
            architecture: architecture.into(),
            platform: platform.into(),
        })
    }

    /// Makes the raw image: header, then blocks of data with empty ones between them.
    pub(crate) fn raw(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(BLOCK * BLOCKS);
        for number in 0..BLOCKS {
            let block = if HOLE.contains(&number) {
                vec![0; BLOCK]
            } else {
                noise(self.version.as_bytes(), number, BLOCK)
            };
            data.extend(block);
        }
        let text = format!(
            "{} {} {} {} {}\n",
            self.version,
            self.schematic,
            self.platform,
            self.architecture,
            digest(&data)
        );
        let mut raw = [TALOS, text.as_bytes()].concat();
        raw.resize(BLOCK, 0);
        raw.extend(data);
        raw
    }

    /// Makes the image as it is downloaded.
    pub(crate) fn compressed(&self) -> io::Result<Vec<u8>> {
        let mut packed = Vec::new();
        lzma_rs::xz_compress(&mut self.raw().as_slice(), &mut packed)?;
        Ok(packed)
    }
}

/// Says what a disk holds. A disk that cannot be read holds nothing.
pub(crate) fn inspect(disk: &Path) -> Contents {
    read(disk).unwrap_or(Contents::Nothing)
}

fn read(disk: &Path) -> io::Result<Contents> {
    let mut file = File::open(disk)?;
    let mut header = vec![0; BLOCK];
    file.read_exact(&mut header)?;
    if header.starts_with(OLD_SYSTEM) {
        return Ok(Contents::OldSystem);
    }
    let Some(rest) = header.strip_prefix(TALOS) else {
        return Ok(Contents::Nothing);
    };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let fields: Vec<&str> = line.split(' ').collect();
    let [version, schematic, platform, architecture, expected] = fields.as_slice() else {
        return Ok(Contents::Nothing);
    };
    let mut data = vec![0; BLOCK * BLOCKS];
    file.read_exact(&mut data)?;
    if digest(&data) != *expected {
        return Ok(Contents::Nothing);
    }
    Ok(Contents::Talos(Image {
        version: (*version).into(),
        schematic: (*schematic).into(),
        architecture: (*architecture).into(),
        platform: (*platform).into(),
    }))
}

/// Makes a disk with an old system on it, full of data that an image must not be mixed with.
pub(crate) fn old_disk(disk: &Path) -> io::Result<()> {
    let mut file = File::create(disk)?;
    file.write_all(OLD_SYSTEM)?;
    file.seek(SeekFrom::Start(BLOCK as u64))?;
    for number in 0..BLOCKS {
        file.write_all(&noise(b"old", number, BLOCK))?;
    }
    file.set_len(DISK_SIZE)
}

/// Forgets everything on a disk.
pub(crate) fn discard(disk: &Path) -> io::Result<()> {
    let file = File::options().write(true).open(disk)?;
    file.set_len(0)?;
    file.set_len(DISK_SIZE)
}

/// The SHA-256 in hexadecimal.
pub(crate) fn digest(data: &[u8]) -> String {
    Sha256::digest(data)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Bytes that look random and are the same every time.
fn noise(seed: &[u8], number: usize, length: usize) -> Vec<u8> {
    let piece = Sha256::new()
        .chain_update(seed)
        .chain_update(number.to_le_bytes())
        .finalize();
    piece.as_slice().repeat(length / piece.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMATIC: &str = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";

    fn image() -> Image {
        Image::from_path(SCHEMATIC, "v1.11.5", "hcloud-amd64.raw.xz").unwrap()
    }

    #[test]
    fn a_whole_image_is_recognised_and_half_of_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let disk = directory.path().join("disk");
        old_disk(&disk).unwrap();
        assert_eq!(inspect(&disk), Contents::OldSystem);
        let raw = image().raw();
        std::fs::write(&disk, &raw).unwrap();
        assert_eq!(inspect(&disk), Contents::Talos(image()));
        std::fs::write(&disk, &raw[..raw.len() / 2]).unwrap();
        assert_eq!(inspect(&disk), Contents::Nothing);
        discard(&disk).unwrap();
        assert_eq!(
            (inspect(&disk), disk.metadata().unwrap().len()),
            (Contents::Nothing, DISK_SIZE)
        );
        assert_eq!(inspect(&directory.path().join("none")), Contents::Nothing);
    }

    #[test]
    fn the_download_unpacks_to_the_image() {
        let mut unpacked = Vec::new();
        lzma_rs::xz_decompress(&mut image().compressed().unwrap().as_slice(), &mut unpacked)
            .unwrap();
        assert_eq!(unpacked, image().raw());
    }

    #[test]
    fn the_factory_has_only_images_that_exist() {
        for (schematic, version, file) in [
            ("abc", "v1.11.5", "hcloud-amd64.raw.xz"),
            (SCHEMATIC, "1.11.5", "hcloud-amd64.raw.xz"),
            (SCHEMATIC, "v1.11.5", "hcloud-x86.raw.xz"),
            (SCHEMATIC, "v1.11.5", "hcloud-amd64.iso"),
        ] {
            assert_eq!(
                Image::from_path(schematic, version, file),
                None,
                "{schematic} {version} {file}"
            );
        }
    }
}
