"""Names for generated projects: words that training knows, words held out, and invented ones."""

import keyword
from dataclasses import dataclass
from random import Random

_WORDS = """
account action adapter address agent alarm album amount anchor angle answer archive area arrow
asset audio author badge balance banner basket batch beacon bill block board book border bottle
box branch bridge bucket budget buffer bundle button cache camera canvas card cargo cart case
catalog cell chain change channel chart check child choice circle city class clean client clock
cloud code color column command comment config contact content copy corner count course cover
credit crop current cursor customer cycle data date day deck default degree delay delta depth
desk detail device diary digest disk dish distance dock domain door draft drive driver edge
editor element email engine entry error event export factor feature feed field figure file
filter final finder fish fixture flag floor flow folder font form format frame friend front
fruit game garden gate gauge glass goal grade graph grid group guard guest guide handle hash
header health heap height hidden history holder home hook host hotel hour house icon image
import index info input invoice island item job journal jump kernel key keyword kind label lamp
language layer layout leaf ledger legend length lesson letter level library light limit line
link list loader local lock logic loop machine mail main map margin mark market mask master
match matrix meal member memory menu merge message meter method metric mile mirror mode model
module monitor month motor mount mouse movie music name nation network node note notice number
object offer office open option orange order origin output owner pack page paint panel paper
parent parser part party patch path pattern payment peak pencil people phase phone photo piece
pilot pixel place plan planet plant plate player plugin pocket point policy pool port portal
post power press price print process product profile program project prompt proof queue quote
rack radio rain range rank rate reader record region remote render repair reply report request
reset result review reward ring river road robot role roll room root rope route row rule runner
salad sale sample scale scanner scene schema school score screen script search season seat
section sensor server service session shadow shape share shelf shell ship shop signal simple
size sketch slice slot snow socket song sort sound source space spark speed split sport square
stack staff stage stamp start state station status step stock stone store storm story stream
street string style sum summer supply switch symbol system table tag target task team tempo test
text theme thread ticket tile timer title token tool topic total tower track trade traffic train
transfer travel tree trial trip truck trust type unit update upload usage user value vector
vendor version video view visit voice volume wagon wait walk wall watch water wave weather week
weight wheel width wind window winter wire word work worker writer year zone
""".split()  # noqa: SIM905

_HELD_OUT = """
acorn atlas bamboo barley birch blanket bronze candle canyon castle cedar cherry cobalt compass
copper coral cotton cradle dolphin ember falcon feather fennel ferry fjord fossil galaxy ginger
glacier granite harbor hazel helmet honey ivory jasmine kettle lantern lemon linen lotus magnet
maple marble meadow mint mosaic nectar nutmeg oyster paddle pebble pepper pigeon plaza pollen
quartz raven ribbon saddle saffron salmon sapphire scarlet shovel silver sparrow spiral spruce
temple thistle timber tulip tundra umbrella valley velvet violet walnut willow yarn zephyr
""".split()  # noqa: SIM905

_ONSETS = """
b c d f g h j k l m n p q r s t v w x z bl br ch cl cr dr fl gr pl pr sh st th tr
""".split()  # noqa: SIM905
_VOWELS = """
a e i o u ai ea ee io oo ou
""".split()  # noqa: SIM905
_CODAS = ["", "", "", "n", "r", "s", "t", "l", "m", "x", "nd", "rk", "st"]


@dataclass(frozen=True)
class Names:
    """A source of names. `held_out` picks real words that training never shows."""

    rng: Random
    held_out: bool = False

    def word(self) -> str:
        """Return one lower-case word: a listed one, a splice of two, or an invented one."""
        while True:
            word = self._any_word()
            if not keyword.iskeyword(word):
                return word

    def _any_word(self) -> str:
        chance = self.rng.random()
        if chance < 0.12:
            return self._invented()
        if chance < 0.32 and not self.held_out:
            return self._spliced()
        return self.rng.choice(_HELD_OUT if self.held_out else _WORDS)

    def _invented(self) -> str:
        syllables = self.rng.choice((1, 2, 2, 3))
        return "".join(
            self.rng.choice(_ONSETS) + self.rng.choice(_VOWELS) + self.rng.choice(_CODAS)
            for _ in range(syllables)
        )

    def _spliced(self) -> str:
        # Known words are whole tokens; only pieces of words teach to copy words never seen.
        while True:
            head, tail = self.rng.choice(_WORDS), self.rng.choice(_WORDS)
            word = head[: self.rng.randint(1, 4)] + tail[-self.rng.randint(2, 5) :]
            if word not in _HELD_OUT:
                return word

    def snake(self) -> str:
        """Return a function or module name: one to three words, sometimes with a digit."""
        count = self.rng.choice((1, 2, 2, 2, 3))
        words = [self.word() for _ in range(count)]
        if count > 1 and self.rng.random() < 0.1:
            words[self.rng.randrange(1, count)] = words[0]
        name = "_".join(words)
        return name + (str(self.rng.randrange(1, 100)) if self.rng.random() < 0.12 else "")

    def pascal(self) -> str:
        """Return a class name."""
        return "".join(self.word().capitalize() for _ in range(self.rng.choice((1, 2, 2))))

    def constant(self) -> str:
        """Return the name of a constant."""
        return "_".join(self.word().upper() for _ in range(self.rng.choice((1, 2, 2))))

    def number(self) -> int:
        """Return a number with one to four digits."""
        return self.rng.randrange(10 ** self.rng.choice((1, 2, 2, 3, 4)))

    def phrase(self, low: int = 2, high: int = 5) -> str:
        """Return a few words in a row, as text for strings and notes."""
        return " ".join(self.word() for _ in range(self.rng.randint(low, high)))
