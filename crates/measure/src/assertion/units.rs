//! Units of numbers: their factors to seconds and bits, and how a value is shown.

/// Powers of time and of data. Both 0 for a plain number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dimension {
    time: i8,
    data: i8,
}

/// Units by name, with their factors to seconds or bits.
const UNITS: [(&str, f64, Dimension); 19] = [
    ("ns", 1e-9, Dimension::TIME),
    ("us", 1e-6, Dimension::TIME),
    ("ms", 1e-3, Dimension::TIME),
    ("s", 1.0, Dimension::TIME),
    ("min", 60.0, Dimension::TIME),
    ("h", 3600.0, Dimension::TIME),
    ("bit", 1.0, Dimension::DATA),
    ("kbit", 1e3, Dimension::DATA),
    ("Mbit", 1e6, Dimension::DATA),
    ("Gbit", 1e9, Dimension::DATA),
    ("B", 8.0, Dimension::DATA),
    ("kB", 8e3, Dimension::DATA),
    ("MB", 8e6, Dimension::DATA),
    ("GB", 8e9, Dimension::DATA),
    ("KiB", 8.0 * 1024.0, Dimension::DATA),
    ("MiB", 8.0 * 1_048_576.0, Dimension::DATA),
    ("GiB", 8.0 * 1_073_741_824.0, Dimension::DATA),
    ("%", 0.01, Dimension::NONE),
    ("", 1.0, Dimension::NONE),
];

impl Dimension {
    pub const NONE: Self = Self { time: 0, data: 0 };
    pub const TIME: Self = Self { time: 1, data: 0 };
    pub const DATA: Self = Self { time: 0, data: 1 };
    pub const RATE: Self = Self { time: -1, data: 0 };
    pub const DATA_RATE: Self = Self { time: -1, data: 1 };

    pub fn times(self, other: Self) -> Self {
        Self { time: self.time + other.time, data: self.data + other.data }
    }

    pub fn over(self, other: Self) -> Self {
        Self { time: self.time - other.time, data: self.data - other.data }
    }

    /// This dimension, or `other` if this is dimensionless.
    pub fn or(self, other: Self) -> Self {
        if self == Self::NONE { other } else { self }
    }

    /// In words.
    pub fn noun(self) -> &'static str {
        match self {
            Self::NONE => "a plain number",
            Self::TIME => "a time",
            Self::DATA => "an amount of data",
            Self::RATE => "a rate",
            Self::DATA_RATE => "a bit rate",
            _ => "of another unit",
        }
    }

    /// The remedy for a number that should have this dimension.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::TIME => ": give it a unit, such as 5ms",
            Self::DATA => ": give it a unit, such as 16kB",
            Self::RATE => ": give it a unit, such as 20000/s",
            Self::DATA_RATE => ": give it a unit, such as 8Gbit/s",
            _ => "",
        }
    }

    /// A value for people, in the unit that suits its size.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::NONE => plain(value),
            Self::TIME => scaled(value, &[(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")]),
            Self::DATA => scaled(value / 8.0, &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")]),
            Self::RATE => format!("{}/s", plain(value)),
            Self::DATA_RATE => scaled(value, &[(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")]),
            Self { time, data } => format!("{value:e} s^{time} bit^{data}"),
        }
    }
}

/// A unit by its name, with the factor to seconds and bits.
pub fn unit(name: &str) -> Option<(f64, Dimension)> {
    UNITS.iter().find(|(known, ..)| *known == name).map(|(_, factor, dimension)| (*factor, *dimension))
}

/// The units that can be typed after a number.
pub fn names() -> impl Iterator<Item = &'static str> {
    UNITS.iter().map(|(name, ..)| *name).filter(|name| !name.is_empty())
}

/// The factor to seconds and bits, and the dimension, of a record's field, by its name.
pub fn of_field(path: &str) -> (f64, Dimension) {
    let name = path.rsplit('.').next().unwrap_or_default();
    let is = |ending: &str| name.ends_with(ending);
    match () {
        () if path.starts_with("phases.") || is("_s") => (1.0, Dimension::TIME),
        () if is("_ns") => (1e-9, Dimension::TIME),
        () if name.contains("_us_per_") => (1e-6, Dimension::TIME),
        () if is("bits_per_second") => (1.0, Dimension::DATA_RATE),
        () if is("_per_second") => (1.0, Dimension::RATE),
        () if is("bytes") => (8.0, Dimension::DATA),
        () => (1.0, Dimension::NONE),
    }
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let (factor, name) =
        units.iter().find(|(factor, _)| value.abs() >= *factor).or(units.last()).expect("there is at least one unit");
    format!("{} {name}", plain(value / factor))
}

/// With up to three decimals.
fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    // A value below the last digit is not shown as zero.
    if value != 0.0 && text.trim_start_matches('-') == "0.000" {
        return format!("{value:e}");
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
