"""Names for containers that nobody named: a mood and somebody who made tools, ships or proofs."""

import random
import re
from collections.abc import Callable

from wharf.errors import Invalid

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")
MAX_LENGTH = 255
TRIES = 6

_MOODS = """
    able airy amber ample ardent ashen autumn avid awake balmy bold bonny brave breezy bright brisk calm candid
    careful cheery chipper civil clear clever cloudy coastal copper coral cosy crisp curious dapper daring dawning
    deft dewy eager earnest easy even fair famous fearless festive fine fleet floating fluent fond frank free
    fresh frosty gallant gentle giddy glad gleaming golden graceful grand green handy happy hardy hearty honest
    hopeful humble jaunty jolly jovial keen kind lively lofty loyal lucid lunar mellow merry mild mindful misty
    modest mossy nimble noble northern patient peaceful placid plucky polite proud quick quiet ready restful
    roaming rosy rustic salty sandy serene sharp silent silver simple sincere sleek snug sober solid spirited spry
    steady stellar stoic sturdy subtle sunny sure swift tender thrifty tidal tidy tranquil trusty upbeat valiant
    verdant vivid warm wary watchful windy winsome wise witty zesty
"""
MOODS = tuple(_MOODS.split())

_PEOPLE = """
    abel adams agnesi ampere apgar archimedes artin avogadro babbage bardeen barrow bell bernoulli bessel
    blackwell bohr boole borg bose brahe brunel burnell cantor carson cauchy cavendish celsius chandra codd
    coulomb cray crick curie dalton darwin davy dedekind descartes dijkstra dirac doppler drake earhart eckert
    edison einstein elion engelbart erdos euclid euler fahrenheit faraday fermat fermi feynman fibonacci fischer
    fleming fourier franklin fresnel galileo galois galvani gauss germain gibbs glashow goddard godel goodall
    gosling gutenberg hadamard halley hamilton harrison hawking heisenberg henry herschel hertz hilbert hodgkin
    hooke hopper hubble humboldt huygens hypatia jemison jenner jones joule kalman kare kepler kernighan khorana
    kirch kirchhoff knuth kovalevskaya lagrange lamarr landau laplace lavoisier leavitt leibniz lexell linnaeus
    lister lorentz lovelace magellan marconi maxwell mayer mccarthy mcclintock meitner mendel mercator merian
    milner minsky mirzakhani mitchell moore morse napier nash newton nightingale nobel noether ohm oppenheimer
    pascal pasteur pauli pauling perlman planck poincare poisson pythagoras raman ramanujan rayleigh ride riemann
    ritchie roentgen rosalind rubin russell rutherford sagan salk sammet shannon shockley snell somerville
    stallman stevin stokes stonebraker swartz tesla thales thompson torricelli tu turing varahamihira vaughan
    verne villani volta wallace watt wiles wilkes williams wing wirth wren wright wu yalow yonath young zeno zuse
"""
PEOPLE = tuple(_PEOPLE.split())


def check_name(name: str) -> str:
    """The name without a leading slash; raises Invalid in Docker's words."""
    bare = name.removeprefix("/")
    if not _NAME.match(bare) or len(bare) > MAX_LENGTH:
        raise Invalid(f"Invalid container name ({name[:300]}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return bare


def generate_name(taken: Callable[[str], bool], container_id: str, chance: random.Random | None = None) -> str:
    """`adjective_surname` that is free, a digit behind it from the second try on; else the short id."""
    chance = chance or random.Random()
    for attempt in range(TRIES):
        name = f"{chance.choice(MOODS)}_{chance.choice(PEOPLE)}"
        if attempt:
            name += str(chance.randrange(10))
        if not taken(name):
            return name
    return container_id[:12]
