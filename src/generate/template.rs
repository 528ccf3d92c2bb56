//! Fills the names of the estate into the templates of `calls`.
//!
//! Must never fail: an unknown letter after `%` is written as it stands.

use memchr::memchr;
use rand::Rng;
use rand::rngs::StdRng;

use super::estate::{self, ACCOUNTS, REGIONS};
use super::json::{self, BASE32, BASE64, Clock};

/// Where a call happens and to whom: all that a template may name.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The day.
    pub clock: &'a Clock,
    /// The position in [`ACCOUNTS`].
    pub account: usize,
    /// The position in [`REGIONS`].
    pub region: usize,
    /// When, in seconds of the day.
    pub second: i32,
    /// The caller's short name, e.g. `orders-api`.
    pub stem: &'static str,
    /// Chooses the resources: the same number, the same resources.
    pub pick: u64,
    /// Chooses the instance or repository where the caller is one.
    pub own: Option<u64>,
}

impl Scene<'_> {
    /// Appends a template with every name filled in.
    pub fn expand(&self, rng: &mut StdRng, out: &mut Vec<u8>, template: &str) {
        let mut rest = template.as_bytes();
        while let Some(at) = memchr(b'%', rest) {
            out.extend_from_slice(&rest[..at]);
            let letter = rest.get(at + 1).copied().unwrap_or(b'%');
            if !(self.place(out, letter) || self.resource(out, letter) || fresh(rng, out, letter)) {
                out.extend_from_slice(&[b'%', letter]);
            }
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
    }

    fn stable(&self, salt: u64, pool: u64) -> u64 {
        let place = (self.account * REGIONS.len() + self.region) as u64;
        json::mix(salt * 1_000 + place, json::mix(self.pick, salt) % pool)
    }

    /// Times, places and the caller.
    fn place(&self, out: &mut Vec<u8>, letter: u8) -> bool {
        match letter {
            b'a' => json::text(out, ACCOUNTS[self.account].id),
            b'r' => json::text(out, REGIONS[self.region]),
            b'y' => json::text(out, ACCOUNTS[self.account].stage),
            b'I' => self.clock.iso(out, self.second),
            b'D' => self.clock.words(out, self.second),
            b'E' => self.clock.words(out, self.second + 3_600),
            b'O' => json::text(out, self.clock.slashed()),
            b'Y' => json::text(out, self.clock.date()),
            b'm' => {
                let second = self.clock.midnight() + i64::from(self.second);
                json::number(out, u64::try_from(second).unwrap_or(0));
            }
            b'c' => {
                json::text(out, "core-");
                json::text(out, ACCOUNTS[self.account].stage);
            }
            b'q' => estate::secret(out, self.account, self.stem),
            b'o' => {
                json::text(out, "repo:example-org/");
                json::text(out, estate::word(estate::SERVICES, self.own.unwrap_or(self.pick), 1));
                json::text(out, ":ref:refs/heads/main");
            }
            _ => return false,
        }
        true
    }

    /// Things of the estate: the same pick, the same thing.
    fn resource(&self, out: &mut Vec<u8>, letter: u8) -> bool {
        let (prefix, pool) = match letter {
            b'i' => return self.instance(out),
            b'v' => ("vpc-0", 2),
            b'n' => ("subnet-0", 9),
            b'g' => ("sg-0", 24),
            b'e' => ("eni-0", 90),
            b'V' => ("vol-0", 70),
            b'N' => ("snap-0", 200),
            b'A' => ("ami-0", 8),
            b'K' => return self.key(out),
            b'd' => {
                json::number(out, json::mix(self.pick, 9) % 240 + 10);
                return true;
            }
            b'z' => {
                json::letters(out, BASE32, json::mix(self.pick, 11), 12);
                return true;
            }
            _ => return self.named(out, letter),
        };
        json::text(out, prefix);
        json::hex(out, self.stable(u64::from(letter), pool), 16);
        true
    }

    fn named(&self, out: &mut Vec<u8>, letter: u8) -> bool {
        match letter {
            b'b' => estate::bucket(out, self.account, self.pick),
            b'k' => estate::object_key(out, self.clock, self.pick),
            b'p' => estate::parameter(out, self.account, self.stem, self.pick),
            b'f' => estate::function(out, self.account, self.stem, self.pick),
            b'S' => json::text(out, estate::word(estate::SERVICES, self.pick, 1)),
            b'R' => json::text(out, estate::role(self.stem, self.pick)),
            b't' => estate::table(out, self.account, self.pick),
            b'w' => {
                json::text(out, "example/");
                json::text(out, estate::word(estate::SERVICES, self.pick, 1));
            }
            b'P' => {
                let role = estate::role(self.stem, self.pick);
                estate::principal_id(out, "AROA", self.account, role);
            }
            b'L' => {
                json::text(out, "/aws/lambda/");
                estate::function(out, self.account, self.stem, self.pick);
            }
            b'l' => {
                json::text(out, self.clock.slashed());
                json::text(out, "/[$LATEST]");
                json::hex(out, json::mix(self.pick, 21), 16);
                json::hex(out, json::mix(self.pick, 22), 16);
            }
            _ => return false,
        }
        true
    }

    fn instance(&self, out: &mut Vec<u8>) -> bool {
        estate::instance_id(out, self.account, self.region, self.own.unwrap_or(self.pick));
        true
    }

    fn key(&self, out: &mut Vec<u8>) -> bool {
        json::guid(out, self.stable(30, 12), self.stable(31, 1));
        true
    }
}

/// Ids that no two events share.
fn fresh(rng: &mut StdRng, out: &mut Vec<u8>, letter: u8) -> bool {
    match letter {
        b'G' => json::guid(out, rng.random(), rng.random()),
        b'U' => {
            let start = out.len();
            json::guid(out, rng.random(), rng.random());
            out[start..].make_ascii_uppercase();
        }
        b'T' => (0..2).for_each(|_| json::hex(out, rng.random(), 16)),
        b'H' => (0..4).for_each(|_| json::hex(out, rng.random(), 16)),
        b'h' | b'j' => json::hex(out, rng.random(), 16),
        b'Z' => json::letters(out, json::ALNUM, rng.random(), 16),
        b'X' => json::letters(out, BASE64, rng.random(), 172),
        b's' => {
            json::text(out, "ASIA");
            json::letters(out, BASE32, rng.random(), 16);
        }
        _ => return false,
    }
    true
}
