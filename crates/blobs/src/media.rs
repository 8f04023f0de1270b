//! What kind of media some bytes are, and whether compressing them is worth a try.

/// What is known of bytes that nothing is known of.
const UNKNOWN: &str = "application/octet-stream";

/// Tells the media type from the first bytes.
pub(crate) fn sniff(head: &[u8]) -> &'static str {
    if let Some(found) = infer::get(head) {
        return found.mime_type();
    }
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character that is cut at the end of the head is no reason to call it binary.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to()).unwrap_or_default())
                .unwrap_or_default()
        }
        Err(_) => return UNKNOWN,
    };
    let is_text = !text.is_empty() && !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    if is_text { "text/plain" } else { UNKNOWN }
}

/// Whether media of a type are compressed already, so that trying again costs time for nothing.
pub(crate) fn is_compressed(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let (class, kind) = essence.split_once('/').unwrap_or_default();
    match class {
        "image" => !matches!(
            kind,
            "bmp" | "x-ms-bmp" | "svg+xml" | "tiff" | "x-portable-pixmap"
        ),
        "audio" => !matches!(kind, "wav" | "x-wav" | "aiff" | "x-aiff" | "basic" | "l16"),
        "video" => true,
        "application" => COMPRESSED.iter().any(|known| kind.contains(known)),
        _ => false,
    }
}

/// Parts of the names of compressed formats. Office documents and packages are zip archives.
const COMPRESSED: [&str; 14] = [
    "zip",
    "7z",
    "rar",
    "xz",
    "zstd",
    "bzip",
    "compress",
    "pdf",
    "openxmlformats",
    "opendocument",
    "java-archive",
    "android.package",
    "epub",
    "x-deb",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_from_the_first_bytes() {
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "image/png");
        assert_eq!(sniff(b"\xff\xd8\xff\xe0\0\x10JFIF"), "image/jpeg");
        assert_eq!(sniff(b"soup at noon?\n"), "text/plain");
        assert_eq!(
            sniff("夜".repeat(3).as_bytes().get(..8).unwrap()),
            "text/plain"
        );
        assert_eq!(sniff(b"\0\x01\x02"), UNKNOWN);
        assert_eq!(sniff(b""), UNKNOWN);
    }

    #[test]
    fn only_what_is_not_compressed_yet_is_worth_a_try() {
        for media_type in ["image/jpeg", "video/mp4", "audio/aac", "application/zip"] {
            assert!(is_compressed(media_type), "{media_type}");
        }
        for media_type in [
            "image/bmp",
            "audio/wav",
            "text/plain; charset=utf-8",
            "",
            "x",
        ] {
            assert!(!is_compressed(media_type), "{media_type}");
        }
    }
}
