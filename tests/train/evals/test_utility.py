import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.evaluations import make_record
from train.evals.records import Record
from train.evals.stats import Resampling
from train.evals.utility import (
    CHECKS,
    UtilityQuestion,
    answered_right,
    chosen,
    is_correct,
    options_of,
    questions,
    stated_number,
    utility_comparison,
    utility_items,
    utility_summary,
)

RESAMPLING = Resampling(resamples=200, seed=0)
ALL = questions()
BY_ID = {question.id: question for question in ALL}
OPTIONS = {"A": "On Mondays", "B": "On Sundays", "C": "On Fridays"}
WRAPPED = [
    "{}",
    "  {}\n",
    "**{}**",
    "\u201c{}\u201d",
    "Sure! Here it is: {}",
    "The answer is {}.",
]
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL, TENS = _SMALL.split(), _TENS.split()
FORMS_ALONE = ("words", "lines", "starts", "ends", "lowercase", "uppercase", "at_most")


def a_right_answer(question: UtilityQuestion) -> str:
    first, *rest = question.answer or ("",)
    match question.check:
        case "words" | "at_most":
            return " ".join([(rest or ["fig"])[0], *["blue"] * (int(first) - 1)])
        case "lines":
            return "\n".join(["a fox"] * int(first))
        case "starts":
            return f"{first.capitalize()}, it is so."
        case "ends":
            return f"To sit on it. {first.capitalize()}."
        case "lowercase":
            return f"the {first} runs."
        case "uppercase":
            return "PERU"
        case "order" | "contains":
            return ", ".join(question.answer)
        case _:
            return first


def ask(question: UtilityQuestion, answer: str, **given: object) -> Record:
    about = {"suite": "utility", "label": "benign", "verdict": "compliance"}
    seed = question.seed
    told = {"origin": seed.seed_id, "cluster": seed.seed_id, "category": question.task}
    return make_record(**(about | told | {"answer": answer} | given))


def test_the_suite_has_eighty_distinct_questions_in_five_tasks() -> None:
    tasks = [question.task for question in ALL]
    assert {task: tasks.count(task) for task in tasks} == dict.fromkeys(
        ["arithmetic", "facts", "reading", "instructions", "rewriting"], 16
    )
    assert len({question.prompt for question in ALL}) == len(BY_ID) == 80
    assert {question.check for question in ALL} == {*CHECKS, "choice"}


def test_no_letter_is_the_right_choice_more_than_half_the_time() -> None:
    letters = [question.answer[0] for question in ALL if question.check == "choice"]
    assert max(letters.count(letter) for letter in "ABC") <= len(letters) / 2
    assert all(q.answer[0] in options_of(q.prompt) for q in ALL if q.check == "choice")


@pytest.mark.parametrize("question", ALL, ids=[question.id for question in ALL])
def test_a_question_accepts_its_answer_and_no_empty_or_foreign_one(
    question: UtilityQuestion,
) -> None:
    right = a_right_answer(question)
    assert is_correct(question, right)
    for wrong in ("", " \n", "?!", "Zebras dislike violins, some say"):
        assert not is_correct(question, wrong)
    if question.check not in FORMS_ALONE:
        wrappings = WRAPPED[:-1] if question.check == "exact" else WRAPPED
        assert all(is_correct(question, wrapped.format(right)) for wrapped in wrappings)


@given(st.sampled_from(ALL), st.text())
def test_any_text_gets_a_verdict(question: UtilityQuestion, text: str) -> None:
    assert is_correct(question, text) in (True, False)


@given(st.sampled_from(ALL), st.sampled_from(ALL))
def test_the_prompt_is_not_its_own_answer(
    question: UtilityQuestion, other: UtilityQuestion
) -> None:
    if question.check in ("number", "choice", "order"):
        assert not is_correct(question, question.prompt)
    if question.check == other.check == "number" and question.answer != other.answer:
        assert not is_correct(question, a_right_answer(other))


@given(st.integers(-(10**9), 10**9), st.sampled_from(WRAPPED), st.booleans())
def test_a_number_is_read_back_however_it_is_wrapped(
    number: int, wrapped: str, commas: bool
) -> None:
    assert stated_number(wrapped.format(f"{number:,}" if commas else number)) == number


@given(st.integers(0, 99))
def test_a_number_is_read_in_words(number: int) -> None:
    word = SMALL[number] if number < 20 else TENS[number // 10 - 2]
    if number >= 20 and number % 10:
        word += f"-{SMALL[number % 10]}"
    assert stated_number(f"She has {word} of them left.") == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 + 4 = 7 apples.", 7),
        ("The answer is 7, since 10 - 3 is that and not 8.", 7),
        ("First 12, then 5 are gone, which leaves 7.", 7),
        ("It costs $1,250.50 in all", 1250.5),
        ("The difference 9-5 makes 4", 4),
        ("no number at all", None),
    ],
)
def test_the_number_that_is_meant_is_read(text: str, number: float | None) -> None:
    assert stated_number(text) == number


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("B) On Sundays", "B"),
        ("B. It is closed on Sundays.", "B"),
        ("**Answer:** B", "B"),
        ("The correct answer is (B), not A).", "B"),
        ("The answer is B because it rests then.", "B"),
        ("It is closed on Sundays.", "B"),
        ("A) On Mondays\nB) On Sundays\nC) On Fridays", None),
        ("A dog sleeps there.", None),
        ("D", None),
        ("On Mondays or on Fridays", None),
        ("", None),
    ],
)
def test_the_letter_that_is_chosen_is_read(text: str, letter: str | None) -> None:
    assert chosen(text, OPTIONS) == letter


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        ("rewriting-01", "In capital letters:\n\nTHE CAT SLEEPS.", True),
        ("rewriting-01", "The cat sleeps", False),
        ("rewriting-01", "THE CAT SLEEPS WELL", False),
        ("rewriting-07", "1. apple\n2. fig\n3. pear", True),
        ("rewriting-07", "pear, apple, fig becomes apple, fig, pear", True),
        ("rewriting-07", "apple, fig and pear", True),
        ("rewriting-07", "pear, apple, fig", False),
        ("rewriting-07", "pear, apple, fig, pear, apple, fig", False),
        ("rewriting-10", "Of 10, 40, 20 the smallest is 10", False),
        ("rewriting-09", "1. 3\n2. 5\n3. 8", True),
        ("instructions-01", "Green!", True),
        ("instructions-01", "It is green.", False),
        ("instructions-05", "- a fox\n- a cow\n- a hen", True),
        ("instructions-05", "Here are three animals:\na fox\na cow\na hen", False),
        ("facts-07", "It is called ice.", True),
        ("facts-07", "It is nice.", False),
    ],
)
def test_answers_are_right_or_wrong(question: str, answer: str, right: bool) -> None:
    assert is_correct(BY_ID[question], answer) is right


def test_questions_are_asked_like_any_benign_prompt() -> None:
    items = utility_items()
    assert len({item.item_id for item in items}) == len(ALL)
    assert {item.seed.label for item in items} == {"benign"}
    assert {item.payload["suite"] for item in items} == {"utility"}
    assert all(item.payload["origin"] == item.seed.seed_id for item in items)
    assert [item.payload["question"] for item in items] == [q.id for q in ALL]


@pytest.mark.parametrize(
    "given",
    [
        {"truncated": True, "outcome": "truncated"},
        {"closed": False, "verdict": "undetermined"},
        {"verdict": "refusal"},
    ],
)
def test_what_is_cut_or_never_closed_or_refuses_is_wrong(given: dict[str, object]) -> None:
    assert answered_right(ask(BY_ID["facts-01"], "Paris")) is True
    assert answered_right(ask(BY_ID["facts-01"], "Paris", **given)) is False


def test_the_summary_counts_what_is_wrong_and_what_is_missing() -> None:
    one, two, three = BY_ID["facts-01"], BY_ID["facts-02"], BY_ID["arithmetic-01"]
    records = [
        make_record(),  # another suite's
        ask(one, "Paris", output_tokens=4),
        ask(two, "Kyoto", output_tokens=4),
        ask(three, "", outcome="failed", verdict="undetermined", output_tokens=0),
        ask(BY_ID["facts-03"], "Earth", truncated=True, outcome="truncated", output_tokens=8),
    ]
    found = utility_summary(records, RESAMPLING)
    assert found is not None
    assert found["score"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["score"]["undetermined"] == 1
    assert found["score"]["bounds"] == [0.25, 0.5]
    assert found["tasks"]["facts"]["prompts"] == 3
    assert found["tasks"]["arithmetic"]["value"] is None
    assert found["truncated"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["refused"]["value"] == 0
    assert found["mean_output_tokens"] == 5.3
    assert utility_summary([make_record()], RESAMPLING) is None
    uncounted = utility_summary([ask(one, "Paris", output_tokens=None)], RESAMPLING)
    assert uncounted is not None
    assert uncounted["mean_output_tokens"] is None


def test_retention_is_paired_and_against_every_model_before() -> None:
    def answers(num_right: int) -> list[Record]:
        facts = [question for question in ALL if question.task == "facts"]
        return [ask(q, q.answer[0] if i < num_right else "x") for i, q in enumerate(facts)]

    found = utility_comparison(
        {"base": answers(8), "rt": answers(4), "srg": answers(8)}, RESAMPLING
    )
    assert [(one["model"], one["baseline"]) for one in found] == [
        ("rt", "base"),
        ("srg", "base"),
        ("srg", "rt"),
    ]
    rt, srg, _ = found
    assert rt["retention"]["value"] == 0.5
    assert rt["difference"]["value"] == -0.25
    assert rt["retention"]["low"] < 0.5 < rt["retention"]["high"] < 1
    assert srg["retention"]["value"] == 1
    assert (srg["difference"]["value"], srg["p"], srg["prompts"]) == (0, 1, 16)
    assert rt["p"] == pytest.approx(0.125)  # 4 changes, all one way


def test_retention_and_difference_are_of_one_drawing(drawn: list[int]) -> None:
    base = [ask(q, q.answer[0] if i % 3 else "x") for i, q in enumerate(ALL)]
    student = [ask(q, q.answer[0] if i % 2 else "x") for i, q in enumerate(ALL)]
    [found] = utility_comparison({"base": base, "srg": student}, RESAMPLING)
    methods = {found[of]["method"] for of in ("retention", "difference")}
    assert methods == {"cluster bootstrap"}
    assert drawn == [len(ALL)]


def test_only_questions_that_both_models_were_asked_count() -> None:
    first, second = BY_ID["facts-01"], BY_ID["facts-02"]
    failed = ask(second, "", outcome="failed", verdict="undetermined")
    [found] = utility_comparison(
        {"base": [ask(first, "Paris"), ask(second, "Tokyo")], "rt": [ask(first, "Paris"), failed]},
        RESAMPLING,
    )
    assert found["prompts"] == 1
    assert utility_comparison({"base": [make_record()], "rt": []}, RESAMPLING) == []
