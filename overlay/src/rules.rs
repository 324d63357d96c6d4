//! Rules of membership and of the spreading of messages by name, so that a simulation can show what each is for by doing without it.
//!
//! Which rules are in force is no part of the configuration: a node has them all, and without the feature `sim` there is no way to
//! make it otherwise.

/// A rule that keeps the sampling fair, messages complete, or honest nodes from being used against others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "sim",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Rule {
    /// Ranks compare prefixes of the proven address before ids. Without it: ids alone.
    PrefixRank,
    /// Only a dial of our own proves an address. Without it: whatever is heard counts as proven.
    OwnDial,
    /// Only lists that we asked for are ranked; of pushed ones a few records wait for a feeler. Without it: pushed lists are taken
    /// whole and ranked as well.
    OwnExchanges,
    /// At most one slot is reset in five exchanges. Without it: one in each exchange.
    SlowReset,
    /// Candidates wait in a short queue for each peer that named them, served in turn, and who names dead ones is served last. Without
    /// it: one queue for all, first come, first served.
    SourceQuota,
    /// The member whose proof is oldest is visited next. Without it: any member.
    OldestFirst,
    /// Inbound and outbound neighbors are separate pools. Without it: one pool, from which newcomers evict either kind.
    SeparatePools,
    /// Caps per address and prefix group on links, proven peers and candidates, and so on dials on hearsay. Without it: none.
    AddressCaps,
    /// What others say about an address sends us there only so often. Without it: as often as they say.
    DialBudget,
    /// Dials per second have a limit. Without it: only dials under way have.
    DialRate,
    /// An address where nobody answered is left alone for a while. Without it: it is dialled as often as it is named.
    RestDead,
    /// Seeds and archived peers are dialled for ever, so that partitions heal. Without it: never again once they were reached.
    Healing,
    /// What was announced and does not come is asked for. Without it: whoever is not pushed a message waits for repair.
    AskMissing,
    /// Who announces what it does not deliver is asked last, and supplies nobody. Without it: announcements are believed for ever.
    KeptPromises,
    /// Who hears nothing from a neighbor asks others to probe it before it is given up. Without it: its own path decides.
    IndirectProbes,
    /// Who runs late listens before it judges, and has more patience for a while. Without it: it judges by what it has not read yet.
    LocalHealth,
    /// Who lost half of its neighbors at once makes a link back as soon as one of them answers. Without it: links across come with rotation.
    Bridge,
    /// Half of a list is for those who entered the memory last. Without it: for any member.
    NewcomersFirst,
    /// A slot that falls empty is also for who was heard of and waits undialled. Without it: only for those that are proven.
    RankSpares,
}

#[cfg(feature = "sim")]
impl Rule {
    /// All rules, in the order of the documentation.
    pub const ALL: [Self; 19] = [
        Self::PrefixRank,
        Self::OwnDial,
        Self::OwnExchanges,
        Self::SlowReset,
        Self::SourceQuota,
        Self::OldestFirst,
        Self::SeparatePools,
        Self::AddressCaps,
        Self::DialBudget,
        Self::DialRate,
        Self::RestDead,
        Self::Healing,
        Self::AskMissing,
        Self::KeptPromises,
        Self::IndirectProbes,
        Self::LocalHealth,
        Self::Bridge,
        Self::NewcomersFirst,
        Self::RankSpares,
    ];
}

/// Reads the name of a rule, or a list of them.
///
/// # Errors
/// There is no such rule: the error names all that there are.
#[cfg(feature = "sim")]
pub(crate) fn one_or_more<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Vec<Rule>, D::Error> {
    use serde::Deserialize as _;
    use serde::de::value::{SeqAccessDeserializer, StrDeserializer};
    use serde::de::{self, SeqAccess, Visitor};

    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<Rule>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the name of a rule, or a list of them")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Vec<Rule>, E> {
            Rule::deserialize(StrDeserializer::new(name)).map(|rule| vec![rule])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Vec<Rule>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(names))
        }
    }
    from.deserialize_any(Names)
}

/// A node has no switch.
#[cfg(not(feature = "sim"))]
const _: () = assert!(size_of::<Rules>() == 0);

/// The rules in force: all of them, but in a simulation that says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    #[cfg(feature = "sim")]
    without: u32,
}

impl Rules {
    /// All of them.
    pub const ALL: Self = Self {
        #[cfg(feature = "sim")]
        without: 0,
    };

    /// All but these.
    #[cfg(feature = "sim")]
    pub(crate) fn without(rules: &[Rule]) -> Self {
        let without = rules.iter().fold(0, |bits, rule| bits | 1 << *rule as u32);
        Self { without }
    }

    /// Whether a rule is in force.
    #[cfg(feature = "sim")]
    #[must_use]
    pub const fn hold(self, rule: Rule) -> bool {
        self.without & 1 << rule as u32 == 0
    }

    /// Whether a rule is in force: it is.
    #[cfg(not(feature = "sim"))]
    #[must_use]
    pub const fn hold(self, _rule: Rule) -> bool {
        true
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_out_of_force() {
        let all = [
            Rule::PrefixRank,
            Rule::OwnDial,
            Rule::SeparatePools,
            Rule::Healing,
        ];
        assert!(all.iter().all(|rule| Rules::ALL.hold(*rule)));
        let some = Rules::without(&[Rule::OwnDial, Rule::Healing, Rule::OwnDial]);
        let hold = all.map(|rule| some.hold(rule));
        assert_eq!(hold, [true, false, true, false]);
    }
}
