"""How people put their requests: phrase lists, with some kept out of training.

The last phrase of each list is held out: training never uses it, so that evaluation can tell how
far the model generalises from wording it knows.
"""

from random import Random

_OPENERS = ("", "", "", "", "", "", "please ", "can you ", "could you ", "hey, ", "now ", "ok, ")
_CLOSERS = ("", "", "", "", "", ".", ".", " please", " for me", "!")

PHRASES: dict[str, tuple[str, ...]] = {
    "read": (
        "read {path}",
        "show me {path}",
        "open {path}",
        "print {path}",
        "show {path}",
        "what is in {path}?",
        "what's in {path}?",
        "display {path}",
        "look at {path}",
        "read the file {path}",
        "show me the file {path}",
        "let me see {path}",
        "give me the content of {path}",
        "cat {path}",
        "show the contents of {path}",
        "I want to read {path}",
    ),
    "read_range": (
        "read lines {start} to {end} of {path}",
        "show lines {start}-{end} of {path}",
        "show me {path} from line {start} to line {end}",
        "show me lines {start} to {end} in {path}",
        "read {path} lines {start} to {end}",
        "print lines {start} to {end} of {path}",
        "open {path} at lines {start} to {end}",
    ),
    "definitions": (
        "what does {path} define?",
        "which functions are in {path}?",
        "what is defined in {path}?",
        "list the functions and classes in {path}",
        "which names does {path} define?",
        "what functions does {path} have?",
        "tell me what {path} defines",
    ),
    "list": (
        "list {path}",
        "what is in the folder {path}?",
        "list the files in {path}",
        "ls {path}",
        "show me the folder {path}",
        "which files are in {path}?",
        "what files are in {path}?",
        "show the files in {path}",
        "what does the folder {path} contain?",
        "what's in the {path} folder?",
        "list the folder {path}",
        "list everything in {path}",
    ),
    "list_root": (
        "list the files",
        "what files are here?",
        "what is in this project?",
        "ls",
        "show me the project",
        "list the project",
        "which files are there?",
        "show me the files in this project",
        "what does this project contain?",
        "list this folder",
        "what's in this project?",
        "show all files here",
    ),
    "search": (
        "search for {name}",
        "where is {name} used?",
        "find {name}",
        "find all uses of {name}",
        "who uses {name}?",
        "where does {name} appear?",
        "search the project for {name}",
        "grep {name}",
        "where is {name}?",
        "find {name} in the project",
        "look for {name}",
        "show me where {name} occurs",
    ),
    "search_in": (
        "search for {name} in {folder}",
        "find {name} in {folder}",
        "look for {name} in {folder}",
        "grep {name} in {folder}",
        "where is {name} used in {folder}?",
        "does {name} appear in {folder}?",
    ),
    "defined": (
        "where is {name} defined?",
        "which file defines {name}?",
        "find the definition of {name}",
        "in which file is {name} defined?",
        "where is the definition of {name}?",
        "show me where {name} is defined",
        "what file is {name} defined in?",
        "locate the definition of {name}",
    ),
    "value": (
        "what is the value of {name}?",
        "what is {name} set to?",
        "how much is {name}?",
        "what value does {name} have?",
        "tell me the value of {name}",
        "look up {name}",
        "what does {name} equal?",
    ),
    "value_in": (
        "what is {name} in {path}?",
        "what is the value of {name} in {path}?",
        "what is {name} set to in {path}?",
        "which value does {name} have in {path}?",
    ),
    "replace": (
        "replace {old} with {new} in {path}",
        "in {path}, replace {old} with {new}",
        "change {old} to {new} in {path}",
        "in {path} change {old} to {new}",
        "edit {path}: replace {old} with {new}",
        "in {path}, change {old} to {new}",
        "swap {old} for {new} in {path}",
        "update {path}: change {old} to {new}",
        "in {path} replace {old} by {new}",
    ),
    "replace_two": (
        "in {path}, replace {old} with {new} and {old2} with {new2}",
        "in {path}, change {old} to {new} and {old2} to {new2}",
        "replace {old} with {new} and {old2} with {new2} in {path}",
        "change {old} to {new} and {old2} to {new2} in {path}",
    ),
    "set_in": (
        "set {name} to {value} in {path}",
        "in {path}, set {name} to {value}",
        "make {name} {value} in {path}",
        "change {name} in {path} to {value}",
        "in {path} set {name} to {value}",
    ),
    "set": (
        "set {name} to {value}",
        "change {name} to {value}",
        "make {name} {value}",
        "change the value of {name} to {value}",
        "{name} should be {value}",
        "update {name} to {value}",
        "find {name} and set it to {value}",
        "the value of {name} must be {value}",
    ),
    "rename": (
        "rename {name} to {new}",
        "find {name} and rename it to {new}",
        "rename the function {name} to {new}",
        "find the function {name} and rename it to {new}",
        "give the function {name} the name {new}",
        "search for {name} and rename it to {new}",
        "the function {name} should be called {new}",
    ),
    "write": (
        "create {path} with {text}",
        "create the file {path} with {text}",
        "write {text} to {path}",
        "make a file {path} that says {text}",
        "create {path} containing {text}",
        "write a file {path} with {text}",
        "make a new file {path} with the text {text}",
        "add a file {path} that contains {text}",
        "save {text} in {path}",
    ),
    "write_function": (
        "create {path} with a function {name} that returns {value}",
        "write {path} with a function {name} that returns {value}",
        "make {path} with a function {name} returning {value}",
        "create a file {path} with a function {name} that returns {value}",
        "add a file {path} with a function {name} that returns {value}",
    ),
    "write_constant": (
        "create {path} with {name} set to {value}",
        "make a file {path} that sets {name} to {value}",
        "write {path} with {name} = {value}",
        "create {path} that defines {name} as {value}",
        "add {path} with {name} set to {value}",
    ),
    "run": (
        "run {command}",
        "run the command {command}",
        "execute {command}",
        "please run {command}",
        "run {command} and tell me what it prints",
        "what does {command} print?",
        "start {command}",
        "run {command} in the terminal",
    ),
    "run_script": (
        "run {path}",
        "run the script {path}",
        "execute {path}",
        "run the file {path}",
        "what happens when I run {path}?",
        "start {path}",
        "run {path} and show the output",
        "launch the script {path}",
    ),
    "run_tests": (
        "run the tests",
        "run pytest",
        "test the project",
        "do the tests pass?",
        "run all tests",
        "run the test suite",
        "start the tests",
        "check that the tests pass",
    ),
}

GREETINGS = (
    "hello",
    "hi",
    "hey",
    "hi there",
    "good morning",
    "hello there",
    "hey there",
    "good evening",
    "hello punie",
    "hi punie",
    "good day",
    "howdy",
)

THANKS = (
    "thanks",
    "thank you",
    "great",
    "thanks a lot",
    "perfect",
    "nice work",
    "ok",
    "good job",
    "cool, thanks",
    "well done",
    "thank you very much",
    "many thanks",
)

IDENTITY = (
    "who are you?",
    "what are you?",
    "what can you do?",
    "how can you help me?",
    "help",
    "what is punie?",
    "which model are you?",
    "are you a real assistant?",
    "introduce yourself",
    "what do you do?",
    "tell me about yourself",
    "how do you work?",
    "what are your skills?",
)

BEYOND = (
    "write a {word} app",
    "explain {word}",
    "what is the capital of {word}?",
    "how do I install {word}?",
    "write me a poem about {word}",
    "design a database for {word}",
    "why is my {word} slow?",
    "refactor the whole {word}",
    "fix all bugs",
    "what do you think of {word}?",
    "tell me a joke",
    "translate {word} into French",
    "how does {word} work?",
    "build a website for {word}",
    "what is the weather?",
    "add a login page",
    "is {word} better than {word2}?",
    "make the {word} faster",
    "write a {word} game",
    "explain how {word} and {word2} differ",
    "what time is it?",
    "solve my {word} problem",
    "write unit tests for everything",
    "what is {word}?",
    "implement a {word} server",
    "teach me {word}",
    "summarise the history of {word}",
)


def choose(rng: Random, phrases: tuple[str, ...], *, held_out: bool = False) -> str:
    """Pick a phrase: from those that training uses, or the held-out one."""
    return phrases[-1] if held_out else rng.choice(phrases[:-1])


def dress(rng: Random, request: str, *, opened: bool = True) -> str:
    """Vary a request the way people do: an opener where it fits, a closer, a capital letter."""
    if not request.endswith("?"):
        request = (rng.choice(_OPENERS) if opened else "") + request
        if not request.endswith(("`", '"', "'")) or rng.random() < 0.5:
            request += rng.choice(_CLOSERS)
    if rng.random() < 0.6:
        request = request[0].upper() + request[1:]
    return request


def quote(rng: Random, text: str, *, always: bool = False) -> str:
    """Put text that must be taken literally into back-ticks or quotes, or leave a word bare."""
    styles = ["`{}`", "`{}`"]
    if '"' not in text:
        styles.append('"{}"')
    if not always and " " not in text:
        styles.extend(["{}", "{}"])
    return rng.choice(styles).format(text)
