//! Who writes where: conversations, members and the lines between them.

use rand::SeedableRng;

use crate::draw::{Rng, Weighted, below, chance, exponential, round, unit, zipf};
use crate::grammar::Grammar;
use crate::{chinese, english, names};

/// Lengths of bodies in bytes at given shares (in thousandths) of all messages, as measured on the corpus.
const LENGTHS: [(u32, f64); 35] = [
    (0, 1.0),
    (10, 2.0),
    (30, 3.0),
    (50, 5.0),
    (100, 10.0),
    (150, 14.0),
    (200, 19.0),
    (250, 23.0),
    (300, 27.0),
    (350, 31.0),
    (400, 35.0),
    (450, 39.0),
    (500, 44.0),
    (550, 49.0),
    (600, 55.0),
    (650, 61.0),
    (700, 68.0),
    (750, 77.0),
    (800, 87.0),
    (850, 101.0),
    (875, 110.0),
    (900, 122.0),
    (925, 138.0),
    (950, 162.0),
    (960, 177.0),
    (970, 195.0),
    (980, 222.0),
    (985, 242.0),
    (990, 269.0),
    (993, 293.0),
    (996, 332.0),
    (998, 376.0),
    (999, 414.0),
    (1_000, 469.0),
    (1_001, 469.0),
];
/// Messages of a conversation whose sender also wrote the one before, beyond chance, in percent.
const KEEPS_TALKING: u32 = 9;
/// Messages in groups that begin with a member's name, in percent.
const ADDRESSED: u32 = 40;
/// Members of a group who write, at most.
const WRITERS_MAX: usize = 130;
/// How fast activity falls with the rank of conversations and of the members of one.
const CONVERSATION_EXPONENT: f64 = 0.6;
const MEMBER_EXPONENT: f64 = 0.75;

/// What to generate. The same options give the same messages on every machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkloadOptions {
    /// Where chance begins.
    pub seed: u64,
    /// Users, at least 2.
    pub users: usize,
    /// Group conversations.
    pub groups: usize,
    /// Direct conversations; no more are made than there are pairs of users.
    pub directs: usize,
    /// Chatrooms.
    pub rooms: usize,
    /// Share of English messages, 0 to 1; the others are Chinese. A conversation has one language.
    pub english_share: f64,
}

impl Default for WorkloadOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            users: 5_000,
            groups: 120,
            directs: 800,
            rooms: 12,
            english_share: 0.92,
        }
    }
}

/// One generated message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// `direct:a,b`, `group:x` or `room:y`.
    pub conversation: String,
    /// Who sends it, a member of the conversation.
    pub sender: String,
    /// What it says.
    pub body: String,
    /// The service's word for its kind; `txt` in 97 of 100 cases, otherwise the body is a caption.
    pub kind: &'static str,
    /// How long after the message before it in its conversation it comes, in milliseconds.
    pub gap_ms: u64,
}

/// An endless source of messages.
pub struct Workload {
    rng: Rng,
    users: Vec<String>,
    places: Vec<Place>,
    popularity: Weighted,
    english: Grammar,
    chinese: Grammar,
    lengths: Vec<u16>,
    /// By number of members, less 1.
    members: Vec<Weighted>,
}

struct Place {
    name: String,
    is_english: bool,
    is_direct: bool,
    members: Vec<u32>,
    last: usize,
}

impl Workload {
    /// Founds the conversations. There is always at least one.
    pub fn new(options: WorkloadOptions) -> Self {
        let mut rng = Rng::seed_from_u64(options.seed);
        let users: Vec<String> = (0..options.users.max(2)).map(names::user).collect();
        let mut places = Vec::new();
        let mut weights = Vec::new();
        let mut add = |found: Vec<Place>, share: f64| {
            let total: f64 = zipf(found.len(), CONVERSATION_EXPONENT).sum();
            weights.extend(zipf(found.len(), CONVERSATION_EXPONENT).map(|w| w / total * share));
            places.extend(found);
        };
        let groups = if options.directs + options.rooms == 0 {
            options.groups.max(1)
        } else {
            options.groups
        };
        add(
            (0..groups)
                .map(|n| open_place("group", n, &users, &mut rng))
                .collect(),
            0.8,
        );
        add(direct_places(options.directs, &users, &mut rng), 0.14);
        add(
            (0..options.rooms)
                .map(|n| open_place("room", n, &users, &mut rng))
                .collect(),
            0.06,
        );
        spread_languages(&mut places, &weights, options.english_share.clamp(0.0, 1.0));
        let most = places
            .iter()
            .map(|place| place.members.len())
            .max()
            .unwrap_or(1);
        let members = (1..=most)
            .map(|count| Weighted::new(&zipf(count, MEMBER_EXPONENT).collect::<Vec<_>>()))
            .collect();
        Self {
            rng,
            users,
            places,
            popularity: Weighted::new(&weights),
            english: Grammar::new(&english::WORDS, 10),
            chinese: Grammar::new(&chinese::WORDS, 2),
            lengths: length_table(),
            members,
        }
    }

    /// Names of all conversations, groups first, each sort with its busiest first.
    pub fn conversations(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| place.name.as_str())
    }

    /// Writes the next message into `line`, whose buffers are used again.
    pub fn next_into(&mut self, line: &mut Line) {
        let rng = &mut self.rng;
        let Some(place) = self.places.get_mut(self.popularity.draw(rng)) else {
            return;
        };
        if !chance(rng, KEEPS_TALKING) || place.is_direct {
            place.last = if place.is_direct {
                // People answer each other more often than they write twice.
                place.last ^ usize::from(chance(rng, 80))
            } else {
                let weights = self.members.get(place.members.len().saturating_sub(1));
                weights.map_or(0, |weights| weights.draw(rng))
            };
        }
        replace(&mut line.conversation, &place.name);
        replace(&mut line.sender, name_of(&self.users, place, place.last));
        line.kind = if chance(rng, 97) {
            "txt"
        } else {
            ["img", "loc", "custom"][below(rng, 3)]
        };
        // Fitted at the corpus's resolution of a minute: most answers within the same one, sometimes a lull.
        let mean = if chance(rng, 93) { 6_000.0 } else { 90_000.0 };
        line.gap_ms = round(exponential(rng) * mean);
        let target = usize::from(
            self.lengths
                .get(below(rng, self.lengths.len()))
                .copied()
                .unwrap_or(1),
        );
        line.body.clear();
        let grammar = if place.is_english {
            &self.english
        } else {
            &self.chinese
        };
        if !place.is_direct && place.is_english && target > 24 && chance(rng, ADDRESSED) {
            let weights = self.members.get(place.members.len().saturating_sub(1));
            let member = weights.map_or(0, |weights| weights.draw(rng));
            line.body.push_str(name_of(&self.users, place, member));
            line.body.push_str(": ");
        }
        grammar.write(rng, &mut line.body, 0, target);
    }
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workload")
            .field("users", &self.users.len())
            .field("conversations", &self.places.len())
            .finish_non_exhaustive()
    }
}

impl Iterator for Workload {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let mut line = Line::default();
        self.next_into(&mut line);
        Some(line)
    }
}

fn replace(buffer: &mut String, text: &str) {
    buffer.clear();
    buffer.push_str(text);
}

fn name_of<'a>(users: &'a [String], place: &Place, member: usize) -> &'a str {
    let user = place
        .members
        .get(member)
        .and_then(|user| usize::try_from(*user).ok());
    user.and_then(|user| users.get(user))
        .map_or("", String::as_str)
}

fn open_place(sort: &str, number: usize, users: &[String], rng: &mut Rng) -> Place {
    let writers = users.len().min(WRITERS_MAX);
    let mut members: Vec<u32> = Vec::with_capacity(writers);
    while members.len() < writers {
        // Squaring the draw gives some users many groups; the second half is filled evenly.
        let share = unit(rng);
        let share = if members.len() < writers / 2 {
            share * share
        } else {
            share
        };
        let wanted = round(share * crate::draw::float(users.len() as u64));
        let mut member =
            u32::try_from(wanted).unwrap_or(0) % u32::try_from(users.len()).unwrap_or(u32::MAX);
        while members.contains(&member) {
            member = (member + 1) % u32::try_from(users.len()).unwrap_or(u32::MAX);
        }
        members.push(member);
    }
    let name = format!("{sort}:{}", names::place(number));
    Place {
        name,
        is_english: true,
        is_direct: false,
        members,
        last: 0,
    }
}

/// Pairs of users, each pair once: user `i` writes with `i + 1`, `i + 2` … further round the circle.
fn direct_places(count: usize, users: &[String], rng: &mut Rng) -> Vec<Place> {
    let pairs = users.len() * (users.len() - 1) / 2;
    let offset = below(rng, users.len());
    (0..count.min(pairs))
        .map(|number| {
            // Up to half way round, no pair comes twice; with an even number of users the last half round is full.
            let (a, step) = (number % users.len(), number / users.len() + 1);
            let (a, b) = (
                (a + offset) % users.len(),
                (a + offset + step) % users.len(),
            );
            let (low, high) = if users.get(a) <= users.get(b) {
                (a, b)
            } else {
                (b, a)
            };
            let members = [low, high]
                .map(|user| u32::try_from(user).unwrap_or(0))
                .to_vec();
            let mut place = Place {
                name: String::new(),
                is_english: true,
                is_direct: true,
                members,
                last: 0,
            };
            place.name = format!(
                "direct:{},{}",
                name_of(users, &place, 0),
                name_of(users, &place, 1)
            );
            place
        })
        .collect()
}

/// Gives each conversation the language that keeps the English share of messages nearest to what is wanted.
fn spread_languages(places: &mut [Place], weights: &[f64], share: f64) {
    let (mut english, mut total) = (0.0, 0.0);
    for (place, weight) in places.iter_mut().zip(weights) {
        total += weight;
        place.is_english = share * total - english >= weight / 2.0;
        if place.is_english {
            english += weight;
        }
    }
}

/// The lengths at evenly spaced shares, so that drawing one is a look into a table.
fn length_table() -> Vec<u16> {
    let mut table = Vec::with_capacity(4_096);
    let mut pairs = LENGTHS.windows(2);
    let mut step = pairs.next();
    for place in 0..4_096_u32 {
        let share = f64::from(place) * 1_000.0 / 4_096.0;
        while step.is_some_and(|step| share >= f64::from(step[1].0)) {
            step = pairs.next();
        }
        let Some([(low, from), (high, to)]) = step else {
            break;
        };
        let within = (share - f64::from(*low)) / f64::from(high - low);
        table.push(u16::try_from(round(from + (to - from) * within)).unwrap_or(u16::MAX));
    }
    table
}
