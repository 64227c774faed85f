//! The two organisations, and by what their own is known wherever it turns up.
//!
//! Everything of an organisation holds a canary: its names a word, its numbers their first eight digits, its bytes a
//! pattern of three. For each canary there is a stand-in of the same length that nobody has.

/// What stands in everything that is somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// In names and texts.
    pub(crate) word: &'static str,
    /// Added to numbers below 100, so that the first eight digits stay.
    pub(crate) number: u64,
    /// Repeated in bytes. None of them is a letter, so that each way to write bytes has one spelling.
    pub(crate) bytes: [u8; 3],
}

/// An organisation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Party {
    /// In all that is its own.
    pub(crate) mark: Mark,
    /// In what would be as much its own, and is nobody's.
    pub(crate) stand_in: Mark,
}

/// What belongs to nobody alone.
pub(crate) const NEUTRAL: Mark = Mark { word: "commons", number: 1_000_000_000, bytes: [0xC0, 0x91, 0x87] };

pub(crate) static PARTIES: [Party; 2] = [
    Party {
        mark: Mark { word: "ptarmigan", number: 2_919_191_000, bytes: [0xA1, 0x9C, 0xE5] },
        stand_in: Mark { word: "nightjars", number: 3_141_592_000, bytes: [0xD5, 0x8B, 0xC9] },
    },
    Party {
        mark: Mark { word: "wryneck", number: 3_727_172_000, bytes: [0xBE, 0xA7, 0x8E] },
        stand_in: Mark { word: "dunlins", number: 3_141_592_000, bytes: [0xD5, 0x8B, 0xC9] },
    },
];

impl Mark {
    /// The id of its chain.
    pub(crate) fn chain_id(self) -> u64 {
        self.number + 7
    }

    /// The name of its chain.
    pub(crate) fn chain(self) -> String {
        format!("{}_chain", self.word)
    }

    /// `length` bytes of its own; the longer ones begin with `place`.
    pub(crate) fn bytes(self, place: u64, length: usize) -> Vec<u8> {
        let place = place.to_be_bytes();
        let head: &[u8] = if length >= 20 { &place } else { &[] };
        head.iter().copied().chain(self.bytes.into_iter().cycle()).take(length).collect()
    }

    /// In each form in which it can be found in a text that [`plain`] has made.
    pub(crate) fn canaries(self) -> [String; 4] {
        let escaped: String = self.bytes.iter().map(|byte| format!("x{byte:02x}")).collect();
        let number = (self.number / 100).to_string();
        [self.word.to_owned(), number, hex::encode(self.bytes).repeat(2), escaped.repeat(2)]
    }
}

impl Party {
    /// `text` with a stand-in in the place of each canary, in either case; the same text if it names none.
    pub(crate) fn with_stand_ins(&self, text: &str) -> String {
        let pairs = self.mark.canaries().into_iter().zip(self.stand_in.canaries());
        pairs.fold(text.to_owned(), |text, (canary, stand_in)| {
            text.replace(&canary, &stand_in).replace(&canary.to_uppercase(), &stand_in.to_uppercase())
        })
    }
}

/// A text as canaries are looked for in it: in lower case, without the backslashes that escape quotes and bytes.
pub(crate) fn plain(text: &str) -> String {
    text.replace('\\', "").to_lowercase()
}

#[test]
fn a_canary_is_found_in_every_way_in_which_values_are_written() {
    let [canaries, others] = [0, 1].map(|party: usize| PARTIES[party].mark.canaries());
    let mark = PARTIES[0].mark;
    let bytes = mark.bytes(5, 20);
    let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02X}")).collect();
    let texts = [
        format!("there is no relation {:?}", mark.chain().to_uppercase()),
        format!("[[{}]]", mark.number + 88),
        format!("{}.0", mark.number + 12),
        format!("0x{}", hex::encode(&bytes)),
        serde_json::json!({ "body": serde_json::json!([escaped]).to_string() }).to_string(),
    ];
    for text in texts {
        let found = |canaries: &[String; 4]| canaries.iter().any(|canary| plain(&text).contains(canary));
        assert!(found(&canaries) && !found(&others), "{text}");
    }
    for Party { mark, stand_in } in &PARTIES {
        let lengths = |mark: &Mark| mark.canaries().map(|canary| canary.len());
        assert_eq!(lengths(mark), lengths(stand_in));
    }
}
