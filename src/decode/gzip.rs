//! Gzip to bytes, bounded.
//!
//! Must never return part of the content as the whole of it, and never hold more memory than the content needs:
//! what the data claims about itself is believed only up to [`TRUSTED_BYTES`].

use std::io::Read;

use flate2::bufread::GzDecoder;
use libdeflater::Decompressor;
use memchr::memmem;

use super::{Error, ErrorKind};

/// Up to this size the content is inflated straight into memory; more is counted first, in constant memory, so that
/// a bomb is refused before it is held.
pub const TRUSTED_BYTES: usize = 64 << 20;

/// The DEFLATE format cannot expand more than this.
const MAX_RATIO: usize = 1032;

/// A gzip member ends with the CRC-32 and the size (modulo 2^32) of its content.
const TRAILER_BYTES: usize = 8;

/// The flag of a header that has a checksum of its own (RFC 1952, `FHCRC`).
const HEADER_CHECKSUM: u8 = 1 << 1;

/// What the streaming inflater hands over at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// What an object may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of gzip data.
    pub compressed_bytes: usize,
    /// The most bytes of content.
    pub content_bytes: usize,
    /// The most gzip members in one object.
    pub members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { compressed_bytes: 256 << 20, content_bytes: 2 << 30, members: 100_000 }
    }
}

/// Whether the bytes claim to be gzip data.
pub fn is_gzip(input: &[u8]) -> bool {
    input.starts_with(&[0x1f, 0x8b])
}

/// Inflates all members of gzip data into `room`, and returns the part of it that is the content.
///
/// What `room` holds is overwritten, and it is made longer where it is too short, never shorter: then it is not filled
/// with zeros again, which took 0.01 of the time of a load (`benches/peers`).
///
/// Empty input has empty content, and zeros after the last member (padding to a block size) are ignored; anything
/// else after it is an error. The checksum of every member is checked. The one loss that gzip cannot show is a cut
/// exactly between two members. Errors name the byte offset in the compressed data.
pub fn inflate<'a>(input: &[u8], limits: &Limits, room: &'a mut Vec<u8>) -> Result<&'a [u8], Error> {
    let bytes = inflate_trusting(input, limits, TRUSTED_BYTES, room)?;
    Ok(&room[..bytes])
}

/// Inflates content of up to `trusted_bytes` at once, and measures what turns out to be larger before it is held.
/// Returns how long it is.
fn inflate_trusting(
    input: &[u8],
    limits: &Limits,
    trusted_bytes: usize,
    room: &mut Vec<u8>,
) -> Result<usize, Error> {
    if input.len() > limits.compressed_bytes {
        return Err(ErrorKind::TooLarge { limit_bytes: limits.compressed_bytes }.nowhere());
    }
    let trusted = Limits { content_bytes: limits.content_bytes.min(trusted_bytes), ..*limits };
    if let Some(bytes) = inflate_single(input, trusted.content_bytes, room) {
        return Ok(bytes);
    }
    match stream(input, &trusted, room) {
        Err(Error { kind: ErrorKind::TooLarge { .. }, .. }) if limits.content_bytes > trusted_bytes => {}
        outcome => return outcome,
    }
    // Given back, so that a bomb is measured with next to nothing held.
    *room = Vec::new();
    let content_bytes = measure(input, limits)?;
    if let Some(bytes) = inflate_single(input, content_bytes, room) {
        return Ok(bytes);
    }
    stream(input, &Limits { content_bytes, ..*limits }, room)
}

/// Whether the content may be held as a whole: by what the data says of itself, which need not be true.
pub fn claims_to_be_small(input: &[u8]) -> bool {
    let trailer = input.last_chunk::<4>().map_or(0, |size| u32::from_le_bytes(*size));
    // The size of the last member modulo 2^32; large data is large, whatever it claims.
    (trailer as usize) <= TRUSTED_BYTES && input.len() <= TRUSTED_BYTES / 2
}

/// Inflates all members of gzip data piece by piece, in memory for a few pieces.
///
/// `take` is given the content that it has not taken yet, and whether that is its end; it returns how much of its
/// beginning it takes. It is given more and more until it takes something, so it must refuse what grows too far.
/// What is wrong with the data may show only after pieces were taken; it is an error all the same.
pub fn inflate_pieces(
    input: &[u8],
    limits: &Limits,
    piece_bytes: usize,
    mut take: impl FnMut(&[u8], bool) -> Result<usize, Error>,
) -> Result<(), Error> {
    if input.len() > limits.compressed_bytes {
        return Err(ErrorKind::TooLarge { limit_bytes: limits.compressed_bytes }.nowhere());
    }
    let mut held = vec![0; piece_bytes];
    let (mut filled, mut content_bytes) = (0, 0);
    let mut refused = None;
    let inflated = for_each_member(input, limits, |member| {
        loop {
            if filled == held.len() {
                let taken = match take(&held, false) {
                    Ok(taken) => taken,
                    Err(error) => {
                        refused = Some(error);
                        return Err(std::io::ErrorKind::Other.into());
                    }
                };
                held.copy_within(taken.., 0);
                filled -= taken;
                if taken == 0 {
                    held.resize(held.len() * 2, 0);
                }
            }
            match member.read(&mut held[filled..])? {
                0 => return Ok(true),
                read => {
                    filled += read;
                    content_bytes += read;
                }
            }
            if content_bytes > limits.content_bytes {
                return Ok(false);
            }
        }
    });
    if let Some(error) = refused {
        return Err(error);
    }
    inflated?;
    take(&held[..filled], true).map(|_| ())
}

/// Inflates data of one member in one call, when the size that the trailer claims is at most `most_bytes`; returns it.
///
/// None when that does not work out for any reason: the streaming inflater then finds out why. `libdeflater` checks
/// the trailer of the first member, but does not say where it is. [`ends_with_its_trailer`] does.
fn inflate_single(input: &[u8], most_bytes: usize, room: &mut Vec<u8>) -> Option<usize> {
    let (_, trailer) = input.split_last_chunk::<TRAILER_BYTES>()?;
    let claimed = u32::from_le_bytes([trailer[4], trailer[5], trailer[6], trailer[7]]) as usize;
    if claimed > most_bytes || claimed > input.len().saturating_mul(MAX_RATIO) {
        return None;
    }
    // `libdeflater` passes over the checksum of a header that has one.
    if input.get(3).is_some_and(|flags| flags & HEADER_CHECKSUM != 0) {
        return None;
    }
    let out = part_of(room, claimed);
    let is_whole = Decompressor::new().gzip_decompress(input, out) == Ok(claimed)
        && ends_with_its_trailer(input, *trailer, out);
    is_whole.then_some(claimed)
}

/// So many bytes of room, whatever they hold.
fn part_of(room: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    if room.len() < bytes {
        room.resize(bytes, 0);
    }
    &mut room[..bytes]
}

/// Whether the member whose content this is, and whose trailer was checked, is all of the data: it is when its trailer
/// is found only at the very end. The size in it is known to be the one in the last eight bytes; where that is there
/// nowhere else, the content need not be read again for its checksum.
fn ends_with_its_trailer(input: &[u8], trailer: [u8; TRAILER_BYTES], content: &[u8]) -> bool {
    let is_only_at_the_end = |part: &[u8]| memmem::find(input, part) == Some(input.len() - part.len());
    is_only_at_the_end(&trailer[4..])
        || (trailer.starts_with(&libdeflater::crc32(content).to_le_bytes()) && is_only_at_the_end(&trailer))
}

/// Inflates member by member, growing `room` as content appears; returns how long that is.
fn stream(input: &[u8], limits: &Limits, room: &mut Vec<u8>) -> Result<usize, Error> {
    let mut filled = 0;
    for_each_member(input, limits, |member| {
        loop {
            if filled == room.len() {
                room.resize(grown(filled, limits.content_bytes), 0);
            }
            match member.read(&mut room[filled..])? {
                0 => return Ok(true),
                read => filled += read,
            }
            if filled > limits.content_bytes {
                return Ok(false);
            }
        }
    })?;
    Ok(filled)
}

/// The size to grow to from a full buffer: doubled, and at most one byte over the limit, which shows an excess.
fn grown(filled: usize, content_bytes: usize) -> usize {
    filled.saturating_mul(2).max(CHUNK_BYTES).min(content_bytes.saturating_add(1)).max(filled + 1)
}

/// The size of the content, found by inflating it into a small buffer; checks everything that [`stream`] checks.
pub(super) fn measure(input: &[u8], limits: &Limits) -> Result<usize, Error> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut content_bytes = 0;
    for_each_member(input, limits, |member| {
        loop {
            match member.read(&mut chunk)? {
                0 => return Ok(true),
                read => content_bytes += read,
            }
            if content_bytes > limits.content_bytes {
                return Ok(false);
            }
        }
    })?;
    Ok(content_bytes)
}

/// Calls `drain` with each member; it reads the member to its end, or returns false when the content is over the
/// limit.
fn for_each_member(
    input: &[u8],
    limits: &Limits,
    mut drain: impl FnMut(&mut GzDecoder<&[u8]>) -> std::io::Result<bool>,
) -> Result<(), Error> {
    let mut rest = input;
    // One inflater serves all members: its state is larger than a small member.
    let mut member: GzDecoder<&[u8]> = GzDecoder::new(rest);
    let mut members = 0;
    while rest.iter().any(|byte| *byte != 0) || (members == 0 && !rest.is_empty()) {
        let start = input.len() - rest.len();
        if !is_gzip(rest) {
            return Err(corrupt(if members == 0 { "no gzip header" } else { "trailing garbage" }, start));
        }
        if members == limits.members {
            return Err(corrupt(&format!("more than {members} members"), start));
        }
        member.reset(rest);
        match drain(&mut member) {
            Ok(true) => {}
            Ok(false) => return Err(ErrorKind::TooLarge { limit_bytes: limits.content_bytes }.nowhere()),
            Err(error) => return Err(corrupt(&reason(&error), input.len() - member.get_ref().len())),
        }
        rest = member.get_ref();
        members += 1;
    }
    Ok(())
}

fn reason(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return "ends early".to_owned();
    }
    let text = error.to_string();
    // What is said of the data already.
    text.strip_prefix("corrupt gzip stream ").unwrap_or(&text).to_owned()
}

fn corrupt(what: &str, offset: usize) -> Error {
    ErrorKind::Gzip(format!("{what} at compressed byte {offset}")).nowhere()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder, write::GzEncoder};
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn inflated(input: &[u8]) -> Result<Vec<u8>, String> {
        inflated_within(input, &Limits::default())
    }

    /// Inflates into a buffer that already holds something.
    fn inflated_within(input: &[u8], limits: &Limits) -> Result<Vec<u8>, String> {
        let mut room = b"left over from the object before".to_vec();
        inflate(input, limits, &mut room).map(<[u8]>::to_vec).map_err(|error| error.to_string())
    }

    /// Text that repeats itself about as much as a log.
    fn sample(bytes: usize) -> Vec<u8> {
        let mut random = StdRng::seed_from_u64(11);
        let mut text = Vec::with_capacity(bytes + 64);
        while text.len() < bytes {
            let port = random.random_range(1024..65_535);
            writeln!(text, "2 123456789010 eni-1235b8ca 172.31.16.139 10.0.0.9 {port} 22 6 20 4249").unwrap();
        }
        text.truncate(bytes);
        text
    }

    #[test]
    fn whole_contents() {
        for bytes in [0, 1, 17, 1000, 70_000, 1_000_000] {
            let content = sample(bytes);
            let input = gzip(&content);
            for left_over in [0, 100, 2_000_000] {
                let mut room = vec![b'x'; left_over];
                // The trailer of empty content is all zeros, and so is the byte before it.
                let whole = inflate_single(&input, TRUSTED_BYTES, &mut room);
                assert_eq!(whole, (bytes > 0).then_some(bytes));
                assert!(
                    room[..bytes] == content && room.len() == bytes.max(left_over),
                    "{bytes}, {left_over}"
                );
                assert!(stream(&input, &Limits::default(), &mut room).unwrap() == bytes);
                assert!(room[..bytes] == content, "{bytes}, {left_over}");
            }
            assert_eq!(inflated(&input).unwrap(), content);
        }
    }

    #[test]
    fn a_size_that_is_found_elsewhere_too() {
        let (first, second) = (sample(5000), sample(10_000)[5000..].to_vec());
        assert_ne!(first, second);
        let both = [gzip(&first), gzip(&second)].concat();
        assert_eq!(inflate_single(&both, TRUSTED_BYTES, &mut Vec::new()), None);
        assert_eq!(inflated(&both).unwrap(), [first, second].concat());
        // Stored as it is, content can hold its own size; then its checksum tells where it ends.
        let content = 4000_u32.to_le_bytes().repeat(1000);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(&content).unwrap();
        let input = encoder.finish().unwrap();
        let mut out = Vec::new();
        assert_eq!(inflate_single(&input, TRUSTED_BYTES, &mut out), Some(content.len()));
        assert_eq!(out, content);
        let cut = &input[..input.len() - 4];
        assert!(cut.ends_with(&libdeflater::crc32(&content).to_le_bytes()));
        assert_eq!(inflate_single(cut, TRUSTED_BYTES, &mut out), None);
    }

    #[test]
    fn header_fields_are_skipped() {
        let mut encoder = GzBuilder::new()
            .filename("events.json")
            .comment("no comment")
            .extra(vec![7; 300])
            .mtime(1_700_000_000)
            .write(Vec::new(), Compression::best());
        encoder.write_all(b"content").unwrap();
        assert_eq!(inflated(&encoder.finish().unwrap()).unwrap(), b"content");
    }

    #[test]
    fn empty_input_is_empty_content() {
        assert_eq!(inflated(b"").unwrap(), b"");
    }

    #[test]
    fn members_are_joined() {
        let (first, second) = (sample(5000), sample(300));
        let input = [gzip(&first), gzip(b""), gzip(&second), gzip(&first)].concat();
        assert_eq!(inflated(&input).unwrap(), [first.clone(), second, first].concat());
    }

    #[test]
    fn equal_members_are_both_kept() {
        let content = sample(2000);
        let input = gzip(&content).repeat(2);
        assert_eq!(inflated(&input).unwrap(), content.repeat(2));
    }

    #[test]
    fn many_tiny_members() {
        let limits = Limits { members: 3000, ..Limits::default() };
        let input = gzip(b"x").repeat(3000);
        assert_eq!(inflated_within(&input, &limits).unwrap(), vec![b'x'; 3000]);
        let input = gzip(b"").repeat(3001);
        let error = inflated_within(&input, &limits).unwrap_err();
        assert_eq!(error, "corrupt gzip: more than 3000 members at compressed byte 60000");
    }

    #[test]
    fn what_follows_the_last_member() {
        let content = sample(3000);
        let input = gzip(&content);
        for zeros in [1, 7, 8, 9, 511, 100_000] {
            let padded = [input.clone(), vec![0; zeros]].concat();
            assert_eq!(inflated(&padded).unwrap(), content, "{zeros}");
        }
        let end = input.len();
        let cases: [(&[u8], &str, usize); 5] = [
            (b"garbage", "trailing garbage", end),
            (b"\0\0\0x", "trailing garbage", end),
            (b"\x1f", "trailing garbage", end),
            (b"\x1f\x8b", "ends early", end + 2),
            (&input[end - 8..], "trailing garbage", end),
        ];
        for (tail, what, at) in cases {
            let error = inflated(&[&input, tail].concat()).unwrap_err();
            assert_eq!(error, format!("corrupt gzip: {what} at compressed byte {at}"));
        }
    }

    #[test]
    fn not_gzip_at_all() {
        for input in [&b"{\"Records\":[]}"[..], b"\0", b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
            assert!(!is_gzip(input));
            assert_eq!(inflated(input).unwrap_err(), "corrupt gzip: no gzip header at compressed byte 0");
        }
    }

    #[test]
    fn cut_anywhere_is_an_error() {
        let input = gzip(&sample(3000));
        for end in 1..input.len() {
            let error = inflated(&input[..end]).unwrap_err();
            assert!(error.starts_with("corrupt gzip: "), "cut at {end}: {error}");
        }
    }

    #[test]
    fn cut_between_members_is_all_that_goes_unseen() {
        let members = [sample(900), sample(500), sample(900)].map(|content| (gzip(&content), content));
        let input = members.iter().flat_map(|(data, _)| data.clone()).collect::<Vec<u8>>();
        let mut boundaries = Vec::new();
        for end in 1..input.len() {
            if let Ok(content) = inflated(&input[..end]) {
                boundaries.push((end, content));
            }
        }
        let first = members[0].0.len();
        let second = first + members[1].0.len();
        let (one, two) = (members[0].1.clone(), [members[0].1.clone(), members[1].1.clone()].concat());
        assert_eq!(boundaries, [(first, one), (second, two)]);
    }

    #[test]
    fn damage_anywhere_is_an_error_or_harmless() {
        let content = sample(1200);
        let twins = gzip(&content).repeat(2);
        for (input, content) in [(gzip(&content), content.clone()), (twins, content.repeat(2))] {
            for at in 0..input.len() {
                for mask in [0x01, 0x80, 0xff] {
                    let mut damaged = input.clone();
                    damaged[at] ^= mask;
                    if let Ok(inflated) = inflated(&damaged) {
                        assert_eq!(inflated, content, "byte {at}, mask {mask:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn bombs_are_refused_without_holding_them() {
        let input = gzip(&vec![b'0'; 4_000_000]);
        assert!(input.len() < 8000);
        let limits = Limits { content_bytes: 100_000, ..Limits::default() };
        let mut out = Vec::new();
        let error = inflate(&input, &limits, &mut out).unwrap_err();
        assert_eq!(error.to_string(), "content is larger than the limit of 100000 bytes");
        assert!(out.capacity() <= 200_002, "{}", out.capacity());
        let members = gzip(&vec![b'0'; 30_000]).repeat(4);
        assert!(inflated_within(&members, &limits).unwrap_err().contains("larger than the limit"));
        assert_eq!(inflated_within(&members[..members.len() / 4 * 3], &limits).unwrap().len(), 90_000);
    }

    #[test]
    fn exactly_at_the_limit() {
        let content = sample(100_000);
        let (one, two) = (gzip(&content), [gzip(&content[..40_000]), gzip(&content[40_000..])].concat());
        for input in [one, two] {
            let within =
                |content_bytes| inflated_within(&input, &Limits { content_bytes, ..Limits::default() });
            assert_eq!(within(100_000).unwrap(), content);
            assert_eq!(within(99_999).unwrap_err(), "content is larger than the limit of 99999 bytes");
        }
    }

    #[test]
    fn a_claimed_size_is_not_believed() {
        let mut input = gzip(&sample(3000));
        let end = input.len();
        input[end - 4..].copy_from_slice(&(60_u32 << 20).to_le_bytes());
        let mut out = Vec::new();
        assert!(inflate(&input, &Limits::default(), &mut out).is_err());
        assert!(out.capacity() < 1 << 20, "{}", out.capacity());
    }

    #[test]
    fn compressed_data_over_its_limit() {
        let limits = Limits { compressed_bytes: 20, ..Limits::default() };
        let error = inflated_within(&gzip(&sample(3000)), &limits).unwrap_err();
        assert_eq!(error, "content is larger than the limit of 20 bytes");
    }

    #[test]
    fn contents_over_the_trusted_size() {
        let content = sample(300_000);
        let (one, two) = (gzip(&content), [gzip(&content[..40_000]), gzip(&content[40_000..])].concat());
        for input in [one, two] {
            let within = |content_bytes| {
                let mut room = Vec::new();
                inflate_trusting(&input, &Limits { content_bytes, ..Limits::default() }, 70_000, &mut room)
                    .map(|bytes| room[..bytes].to_vec())
                    .map_err(|error| error.to_string())
            };
            assert_eq!(within(1_000_000).unwrap(), content);
            assert_eq!(within(300_000).unwrap(), content);
            for limit in [299_999, 70_001, 70_000, 69_999] {
                let expect = format!("content is larger than the limit of {limit} bytes");
                assert_eq!(within(limit).unwrap_err(), expect);
            }
        }
        let mut out = Vec::new();
        let bomb = gzip(&vec![0; 5_000_000]);
        let limits = Limits { content_bytes: 4_000_000, ..Limits::default() };
        assert!(inflate_trusting(&bomb, &limits, 70_000, &mut out).is_err());
        assert_eq!(out.capacity(), 0);
    }

    #[test]
    fn measured_sizes_are_right() {
        let input = [gzip(&sample(70_000)), gzip(b"x")].concat();
        assert_eq!(measure(&input, &Limits::default()).unwrap(), 70_001);
        assert!(measure(&input, &Limits { content_bytes: 70_000, ..Limits::default() }).is_err());
        assert!(measure(&input[..input.len() - 1], &Limits::default()).is_err());
    }

    #[test]
    fn pieces_are_the_content() {
        let content = sample(300_000);
        let input = [gzip(&content[..100_000]), gzip(&content[100_000..])].concat();
        let limits = Limits { content_bytes: 300_000, ..Limits::default() };
        for (piece_bytes, take) in [(1000, 1), (1000, 999), (70_000, 50_000), (500_000, 1)] {
            let (mut found, mut ends) = (Vec::new(), 0);
            inflate_pieces(&input, &limits, piece_bytes, |text, is_last| {
                // Nothing at first, which makes the pieces grow.
                let taken = if is_last { text.len() } else { (text.len() / piece_bytes - 1) * take };
                found.extend_from_slice(&text[..taken]);
                ends += usize::from(is_last);
                Ok(taken)
            })
            .unwrap();
            assert_eq!((found == content, ends), (true, 1), "{piece_bytes}");
        }
        let all = |input: &[u8], limits: &Limits| {
            inflate_pieces(input, limits, 5000, |text, _| Ok(text.len())).map_err(|error| error.to_string())
        };
        let error = all(&input, &Limits { content_bytes: 299_999, ..limits }).unwrap_err();
        assert_eq!(error, "content is larger than the limit of 299999 bytes");
        assert!(all(&input[..input.len() - 1], &limits).unwrap_err().contains("ends early"));
        let mut flipped = input.clone();
        flipped[input.len() - 6] ^= 1;
        assert!(all(&flipped, &limits).is_err(), "the checksum is checked");
        let refused = inflate_pieces(&input, &limits, 5000, |_, _| Err(ErrorKind::Utf8.nowhere()));
        assert!(matches!(refused, Err(Error { kind: ErrorKind::Utf8, .. })));
    }
}
