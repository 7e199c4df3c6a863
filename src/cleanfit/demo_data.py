"""Writes the demo's labelled rows: customer messages to a hotel, a shop and an app, from phrases and a short grammar.

A message is one frame of its class (`_FRAMES`) whose slots `{like_this}` are filled from the tables of one business.
The frames share their words on purpose: complaints grant what was good, praise grants what was bad, negation turns
clauses round, and all three classes ask. So no frequent word gives a class away, and counts of words do not settle it.
"""

import re

import numpy as np

from cleanfit.errors import SettingsError
from cleanfit.seeding import generator

DEMO_LABELS: tuple[str, ...] = ("complaint", "praise", "question")

LABEL_NOISE = 0.03  # share of rows with a wrong label, as careful annotators leave behind
GREETING_SHARE = 0.35
ENDING_SHARES = (0.35, 0.2, 0.45)  # no ending, one that any message may have, one of the message's class

_BETWEEN_PHRASES = re.compile(r" / |\n\s*")
_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCE_START = re.compile(r"(?:^|(?<=[.?!] ))[a-z]")

# In all tables, alternatives stand between slashes or on lines of their own. `good` and `bad` are clauses in the past
# tense, `do` follows "to", `ask` is an indirect question, `plan` and `context` say what a customer will do or has done.
_SHARED = {
    "n": "two / three / four / five / six",
    "nth": "second / third / fourth / fifth",
    "day": "Monday / Tuesday / Wednesday / Thursday / Friday / Saturday / Sunday",
    "month": "January / March / April / May / June / July / August / October / December",
    "hour": "noon / three in the afternoon / five in the evening / nine at night",
    "greeting": "hello, / hi there, / good morning, / good evening, / dear team, / hello again, / dear all, / a note:",
    "ending": """thank you for your time. / kind regards. / thanks for reading. / best wishes. / please pass this on.
        greetings from a regular. / thank you. / please feel free to call me. / have a good week.""",
}
_BUSINESSES = {
    "hotel": {
        "plan": """we arrive on {day} with {n} children / I have booked {n} nights in {month}
            my parents visit in {month} / we are planning a small wedding / I will come by bicycle on {day}""",
        "context": """we stayed {n} nights in {month} / I came for a conference on {day} / we came with {n} children
            this was our {nth} stay / my parents gave us a weekend here / we only stopped for one night""",
    },
    "shop": {
        "plan": """I am about to order a desk / I want to buy a present before {day} / we are furnishing {n} rooms
            my mother wants the same lamp / we are moving house in {month} / I need {n} more chairs by {day}""",
        "context": """I ordered on {day} / I bought {n} chairs in {month} / this was my {nth} order
            it was a birthday present / we furnished our kitchen with you / my neighbour talked me into it""",
    },
    "app": {
        "plan": """I am switching to a new phone on {day} / my trial ends on {day} / I share the app with {n} colleagues
            our club wants to join in {month} / I am thinking about the yearly plan""",
        "context": """I updated on {day} / I have used the app since {month} / this is my {nth} year as a member
            I use it with {n} colleagues / I upgraded in {month} / I only wanted to see last month's runs""",
    },
}
_TOPICS = {
    "hotel": {
        "room": {
            "good": """the room was ready when we arrived / the bed was soft and the sheets smelled fresh
                the window opened onto a silent garden / the shower was hot within seconds
                somebody had left clean towels and a handwritten card
                the heating worked and the lamp was easy on the eyes / we slept like stones
                the walls kept out the noise of the street / the bathroom had been scrubbed to a shine""",
            "bad": """the room was not ready until {hour} / the bed sagged and the sheets had a stain
                the window opened onto a noisy car park / the shower stayed cold for {n} days
                nobody had left towels or soap / the heating rattled and the lamp flickered / we hardly slept
                the walls let in every word from next door / the bathroom smelled of damp and old smoke""",
            "do": """get a late checkout / move to a quieter room / have a cot in the room / bring a small dog
                have the room cleaned in the afternoon / leave the bags here after checkout""",
            "ask": """whether the room has a desk / how late we can check in / which rooms face the garden
                whether the window opens / what the cleaning fee covers / how many stairs there are""",
        },
        "food": {
            "good": """breakfast was warm, varied and never crowded / the soup tasted of real vegetables
                the kitchen made our son his own pancakes / the bread was still steaming
                dinner came quickly and looked lovely / the cook remembered what I do not eat
                the coffee was strong and free all day / the portions were generous""",
            "bad": """breakfast was cold and half of it was gone by eight / the soup tasted of salt and little else
                the kitchen forgot our son's pancakes / the bread was stale / dinner took {n} hours and looked tired
                the cook forgot what I do not eat / the coffee was weak and cost extra""",
            "do": """have breakfast before six / order something without gluten / eat on the terrace
                take a lunch box along / reserve a table for {n} / get dinner after nine / see the menu in advance""",
            "ask": """whether breakfast is included / when the kitchen closes / which dishes contain nuts
                what a lunch box costs / whether children eat for less / how far ahead we should reserve""",
        },
        "desk": {
            "good": """the receptionist smiled and knew our names / the porter carried every bag upstairs
                the night manager found us a taxi at once / check-in was done in {n} minutes
                the staff listened and sorted it out / the barman lent us his own umbrella""",
            "bad": """the receptionist shrugged and misspelled our names / the porter dropped a bag and walked off
                the night manager told us to find our own taxi / check-in took {n} attempts
                the staff argued among themselves / the barman lost my umbrella / they woke us at six by mistake""",
            "do": """reach the front desk at night / book a taxi for {day} / pick up the key after midnight
                print a ticket / park next to the door / send a parcel ahead / speak with somebody in Spanish""",
            "ask": """when the front desk opens / whether somebody can meet us at the station / who looks after the keys
                where we can park / what a taxi to the airport costs / whether the staff speak Italian""",
        },
    },
    "shop": {
        "delivery": {
            "good": """the parcel came a day early / the driver rang, waited and wished me a nice day
                the box was packed with care / I could follow the van on the map / the sofa was carried up {n} floors
                the courier called before coming / all {n} boxes arrived together""",
            "bad": """the parcel came {n} days late / the driver left without ringing / the box was crushed on one side
                the van on the map never moved / the sofa was dumped on the pavement
                the courier came while I was at work / only one of {n} boxes arrived
                the parcel was left out in the rain""",
            "do": """change the delivery address / pick the parcel up myself / have it delivered after work
                track the van / send it to a neighbour / get it before {day} / have the sofa carried upstairs""",
            "ask": """when the van is coming / whether you deliver to the islands / what express delivery costs
                which courier you use / whether somebody has to sign for it / how large the box is""",
        },
        "goods": {
            "good": """the table stood firm for {n} months / the colour matched the picture / every screw was in the bag
                the lamp gave a warm light / the fabric felt soft and washed well / the drawers closed without a sound
                the chair fixed my back in a week / the wood smelled like a forest""",
            "bad": """the table wobbled after {n} days / the colour looked nothing like the picture
                half the screws were missing / the lamp buzzed from the first evening / the fabric went thin in the wash
                the drawers got stuck / the chair hurt my back in a week / the wood smelled of glue""",
            "do": """get a spare shelf / order a sample of the fabric / build the table alone
                wash the cover at sixty degrees / choose another colour / use the chair outside""",
            "ask": """how wide the table is / whether the wood is oiled / which screws I need / what the lamp weighs
                whether the cover comes off / how long the guarantee runs""",
        },
        "returns": {
            "good": """the refund was in my account the next morning / they swapped the vase without a form
                the return label was already in the box / the woman at the counter took my word for it
                a new part came free of charge / the repair held and cost me nothing / they rounded the refund up""",
            "bad": """the refund took {n} weeks / they wanted {n} forms to swap a vase / the return label would not scan
                the woman at the counter did not believe me / the new part was as broken as the first
                the repair held for {n} days / they kept part of the refund""",
            "do": """send the vase back / swap it for a larger size / return it without the box / get a refund in cash
                hand it in at the counter / use the old receipt / have it repaired""",
            "ask": """how long I can return it / who pays for the return / whether the receipt is enough
                when the refund arrives / where the nearest counter is / whether sale items can be swapped""",
        },
    },
    "app": {
        "screen": {
            "good": """the update made everything faster / the map loaded even in the forest
                my photos were all still there / it found my watch at the first try
                the dark screen was kind to my eyes / the battery lasted all day / the search knew what I meant""",
            "bad": """the update made everything slower / the map froze in the middle of the forest
                my photos were all gone / it lost my watch after every start / the bright screen hurt my eyes
                the battery was empty by noon / the search showed me everything else""",
            "do": """use the map without a network / move my photos to a new phone / connect a watch
                turn off the sounds / share a list with my sister / make the letters larger / undo the last change""",
            "ask": """whether it runs on an old tablet / where my photos are stored / how much space the map takes
                which watches it works with / whether I can use it abroad / what the star next to a run means""",
        },
        "billing": {
            "good": """the bill was correct to the cent / the discount was applied without asking
                cancelling took one tap / they paid back the month I had not used
                the price stayed the same for {n} years / the invoice was clear and came on time""",
            "bad": """the bill was wrong by {n} euros / the discount vanished at the last step
                cancelling took {n} letters / they charged me for a month I had not used
                the price went up {n} times in a year / the invoice was a riddle and came late""",
            "do": """pay by bank transfer / cancel before the trial ends / switch to the yearly plan
                get an invoice by post / pause the plan in {month} / use a discount twice / add a second card""",
            "ask": """when the next bill is due / whether the price includes tax / what the family plan costs
                how I can read the invoice / whether students pay less / which cards you take""",
        },
        "support": {
            "good": """a real person answered within {n} minutes / the woman in the chat stayed until it worked
                the guide explained each step with a picture / they called me back as agreed
                my ticket was solved overnight / they wrote back on a {day} evening""",
            "bad": """only a robot answered within {n} days / the man in the chat left before it worked
                the guide skipped every second step / they never called me back / my ticket was closed unread
                they wrote back after {n} weeks / the answer was long, polite and wrong""",
            "do": """talk to a real person / get a call back on {day} / reopen a ticket / read the guide in French
                send you a picture of the screen / reach the chat at night / change my password""",
            "ask": """who reads the tickets / whether the chat is open on {day} / where the guide is
                how long an answer takes / which number I should call / whether you need my password""",
        },
    },
}
# `{good_b}`, `{bad_b}` and so on come from a second topic of the same business. Where a message holds both, what it
# says last decides its class; a frame that asks is a question only where an answer is wanted.
_FRAMES = {
    "complaint": """{bad}. / {bad}, and {bad_b}. / {bad}. on top of that, {bad_b}. / {context}. {bad}.
        {context}, and {bad}. / how do I explain to my family that {bad}? / I am easy to please, yet {bad}.
        it is the {nth} time that {bad}. / please tell me why {bad}. / you know as well as I do that {bad}.
        {bad}. how can I trust you now? / {good}, but {bad_b}. / {good}. sadly, {bad_b}.
        I want to be fair: {good}. but {bad_b}. / although {good}, {bad_b}. / {good}, yet in the end {bad_b}.
        granted, {good}; still, {bad_b}. / nice that {good}, but does that help when {bad_b}?
        I wanted to love it because {good_b}, and then {bad}. / last time {good}; this time {bad_b}.
        on your page I read that {good}. not for us. / friends told me that {good}; I saw nothing of the kind.
        I would love to write that {good}, but it would not be true. / I cannot say that {good}.
        is it too much to ask to {do}? {bad}. / how hard can it be to {do}? who has time for that?
        why do I have to call {n} people to {do}? / how is it possible that {bad}?
        would you like it if you paid and {bad}? / {bad}. is that what I paid for?
        I spent {n} days trying to {do}, and then {bad}. / nobody could tell me {ask}, and {bad}.
        I had to find out alone {ask}. / I asked {n} times {ask} and got {n} different answers.
        you said that I could {do}; in the end I could not. / thank you for the kind reply, but I still cannot {do}.
        {plan}, and now I have doubts, because {bad}.""",
    "praise": """{good}. / {good}, and {good_b}. / {good}. on top of that, {good_b}. / {context}. {good}.
        {context}, and {good}. / I do not gush often, but {good}. / I am hard to please, yet {good}.
        it is the {nth} time that {good}. / please tell the team that {good}. / you may know it, but {good}.
        {good}. how do I thank you? / {bad}, but {good_b}. / {bad}. luckily, {good_b}.
        I want to be fair: {bad}. but {good_b}. / although {bad}, {good_b}. / {bad}, yet in the end {good_b}.
        granted, {bad}; still, {good_b}. / so what if {bad}, does that matter when {good_b}?
        I wanted to be angry because {bad_b}, and then {good}. / last time {bad}; this time {good_b}.
        I read that {bad}. not for us. / friends told me that {bad}; I saw nothing of the kind.
        I was ready to write that {bad}, but it would not be true. / I cannot say that {bad}.
        is there an easier place to {do}? {good}. / how can it be so simple to {do}? who would have thought?
        where else can I {do} with one call? / do you know how glad I was that {good}? / would you believe it, {good}?
        {good}. is that not what we all want? / I spent {n} minutes trying to {do}, and it worked.
        I only asked {ask}, and {good}. / it was easy to find out {ask}.
        I asked {n} people {ask} and got the same clear answer. / you said that I could not {do}; in the end I could.
        thank you for showing me how to {do}. / {plan}, and I have no doubts, because {good}.""",
    "question": """can I {do}? / how do I {do}? / is it possible to {do}? / is there an easy way to {do}?
        where do I go to {do}? / who could show me how to {do}? / do I have to pay extra if I wish to {do}?
        what is needed to {do}? / I would like to {do}; how? / would it be a problem to {do} on {day}?
        I would like to know {ask}. / please tell me {ask}, and how to {do_b}. / we still have to find out {ask}.
        could somebody tell me {ask}? / it is unclear to me {ask}. / do you know {ask}? / I have not understood {ask}.
        my only question is {ask}. / {context}. {good}; now I am curious {ask}. / {plan}. can I {do}?
        {plan}; I would love to know {ask}. / {plan}, and it would be nice to {do}. is that possible?
        last time {good}. may I also {do}? / {good}, so now I hope to {do}. how?
        I read that {good}. does this still hold? / friends told me that {good}; do you know {ask_b}?
        in the past {bad}. could I now {do_b}? / I read that {bad}. is that still true?
        {bad}, which is no problem, but how would I {do_b}? / I was wondering {ask}.
        since {bad}, I had better ask {ask_b}. / what can I do if {bad}? / {good}, but I could not see {ask_b}.
        one friend says that {good}, another that {bad}. who is right?
        {context}, and {bad}. whom should I call now?""",
}
_ENDINGS = {
    "complaint": """I expected better. / I will think hard before I come back. / not what I had hoped for.
        I would like to hear an excuse. / it used to be so much better. / I am not happy at all.
        I would not recommend it to a friend. / please put it right. / it was not worth the money.
        so much for good service. / I wish I could say something nicer. / who would pay for it?
        would I come back? hardly. / what is there to like? / I will tell my friends. / never again.
        is that how you thank a regular? / I am almost speechless. / I had no luck.""",
    "praise": """I expected worse. / I will come back without thinking twice. / not bad at all.
        what else could you want? / I did not expect so much. / I could not be happier.
        I would recommend it to a friend. / please do not change. / it was worth the money. / who could ask for more?
        why would anyone go elsewhere? / I wish I had come sooner. / can you do better? hardly.
        would I come back? any time. / what is there not to like? / I would like to know your secret.
        I will tell my friends. / please put that on your page. / never a problem. / I did not think it possible.
        I am almost speechless.""",
    "question": """thanks in advance. / I could not find it on your page. / I have to decide by {day}.
        a short answer is enough. / please do not read this as a complaint. / I am happy with a rough answer.
        sorry to trouble you. / it would help us plan. / I will come back in {month}. / nothing urgent.
        I wonder why nobody else asks. / can you help? / what would you recommend? / thanks for any help.
        I want to get it right. / or is it too late? / what do others do? / I expected the answer in the letter.""",
}


def make_rows(n_rows: int, seed: int) -> list[tuple[str, str]]:
    """Write the demo's labelled messages; row i depends on the seed and on i alone.

    Args:
        n_rows: how many rows, at least 1.
        seed: any integer.

    Returns:
        N pairs of (text, label), the label one of `DEMO_LABELS`; about 3 % of the labels are wrong (`LABEL_NOISE`).

    Raises:
        SettingsError: if `n_rows` is less than 1.
    """
    if n_rows < 1:
        raise SettingsError(f"The demo data needs at least 1 row, but n_rows is {n_rows}. Ask for 1 or more.")
    return [_make_row(generator(seed, "demo row", row_id)) for row_id in range(n_rows)]


def _make_row(rng: np.random.Generator) -> tuple[str, str]:
    label = DEMO_LABELS[rng.integers(len(DEMO_LABELS))]
    tables = _choose_tables(rng, label)
    greeting = "{greeting} " if rng.random() < GREETING_SHARE else ""
    ending = ("", " {ending}", " {class_ending}")[rng.choice(3, p=ENDING_SHARES)]
    message = _expand(greeting + "{frame}" + ending, tables, rng)
    text = _SENTENCE_START.sub(lambda start: start[0].upper(), message)
    if rng.random() < LABEL_NOISE:
        label = [other for other in DEMO_LABELS if other != label][rng.integers(len(DEMO_LABELS) - 1)]
    return text, label


def _choose_tables(rng: np.random.Generator, label: str) -> dict[str, str]:
    """Gather one row's tables: the shared ones, a business, two of its topics, and the frames of the class."""
    business = list(_BUSINESSES)[rng.integers(len(_BUSINESSES))]
    topics = list(_TOPICS[business].values())
    first, second = rng.choice(len(topics), size=2, replace=False)
    tables: dict[str, str] = _SHARED | _BUSINESSES[business] | topics[first]
    tables |= {f"{slot}_b": table for slot, table in topics[second].items()}
    return tables | {"frame": _FRAMES[label], "class_ending": _ENDINGS[label]}


def _expand(template: str, tables: dict[str, str], rng: np.random.Generator) -> str:
    """Fill the slots of a template, and of what fills them; without replacement, so that no row repeats itself."""
    unused: dict[str, list[str]] = {}

    def fill(slot: re.Match[str]) -> str:
        if slot[1] not in unused:
            unused[slot[1]] = _BETWEEN_PHRASES.split(tables[slot[1]])
        phrases = unused[slot[1]]
        return _SLOT.sub(fill, phrases.pop(int(rng.integers(len(phrases)))))

    return _SLOT.sub(fill, template)
