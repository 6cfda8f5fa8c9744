// What lies before the reviewer: the card in sight, those that come next, and the last decisions.
//
// An answer changes the card at once and goes off in the background; what the server answers is
// the card for the end of the row. Used by focus.js and sheets.js.

import { csrf, Outbox, post } from "./outbox.js";
import { labelKeys } from "./keys.js";

const HEARTBEAT_MS = 60_000;
const FIRST_HEARTBEAT_MS = 1_500;
const LOOK_AGAIN_MS = 3_000;
const REMEMBERED = 50;
const STRIP = 8;
const SAID = { approve: "Approved", reject: "Rejected", skip: "Skipped", unsure: "Left for a second look" };
const MARK = { approve: "✓", reject: "✕", skip: "–", unsure: "?" };

const root = document.getElementById("review");
const live = document.getElementById("review-status");
const stateLine = document.getElementById("review-state");
const strip = document.querySelector("#review-strip ol");

export const tokensOf = (card) => (card?.dataset.token ?? "").split(" ").filter(Boolean);
const isReal = (card) => tokensOf(card).length > 0;

// As crypto.randomUUID, which a page without TLS does not have.
export function newToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export class Table {
  current = root.querySelector(".review-card");
  #ahead = []; // cards that wait for their turn, their images on the way or decoded
  #last = null; // the card that says why there is no more
  #answered = new Map(); // token → card, to bring it back without asking
  #isAsking = false;
  #isUndoing = false;
  #spentMs = 0;
  #shownAt = null;
  #lookAgain = 0;

  // most: how many cards to hold ahead; onShow(card) once it is in the page; wish: a form whose
  // fields say which cards are wanted.
  constructor({ most, onShow, wish = null }) {
    this.most = most;
    this.wish = wish;
    this.onShow = onShow;
    this.outbox = new Outbox({
      person: root.dataset.person,
      onAnswer: (...args) => this.#answerCame(...args),
      onState: (state) => this.#say(state),
    });
    this.#arrived(this.current);
    this.#bind();
    labelKeys(document);
    if (this.outbox.has(tokensOf(this.current)[0])) this.#advance(); // it was answered before
    this.outbox.pump();
    this.#countUnsent();
    this.refill();
  }

  // --- Answers ---------------------------------------------------------------------------

  // fields: what the form says; said: [[token, verdict, {name, thumb, page}], …] for the strip.
  answer({ url, fields, said }) {
    const card = this.current;
    if (!isReal(card)) return;
    this.#answered.set(tokensOf(card)[0], card);
    for (const token of [...this.#answered.keys()].slice(0, -REMEMBERED)) this.#answered.delete(token);
    for (const one of said) this.#remember(...one);
    this.#count(said.filter(([, verdict]) => verdict in MARK).length, said);
    const verdicts = said.map(([, verdict]) => verdict);
    const words = said.length === 1 ? `${SAID[verdicts[0]]}.` : `${said.length} images recorded.`;
    this.#flash(said.length === 1 ? verdicts[0] : "", words);
    this.#advance(words);
    this.outbox.push({ id: newToken(), tokens: tokensOf(card), url, fields });
    this.#countUnsent();
  }

  #answerCame(entry, html, wasTaken) {
    if (entry.url === root.dataset.change) this.#changeCame(entry, html, wasTaken);
    else if (!wasTaken) this.tell("That answer was not taken: the page it belongs to is gone.");
    else if (entry.url === root.dataset.decide) this.#takeIn(html);
    this.#countUnsent();
    if (this.outbox.size) this.#say("sending");
    else this.refill();
  }

  #countUnsent() {
    root.dataset.unsent = this.outbox.size;
  }

  #advance(words = "") {
    const next = this.#ahead.shift() ?? this.#last ?? this.#waitCard();
    this.#show(next);
    const name = next.dataset.name;
    live.textContent = `${words} ${name ? `Next: ${name}.` : next.dataset.says ?? ""}`.trim();
  }

  #show(card) {
    const old = this.current;
    if (old === card) return;
    const hadFocus = old.contains(document.activeElement);
    this.current = card;
    old.replaceWith(card);
    if (hadFocus || document.activeElement === document.body) card.focus({ preventScroll: true });
    this.#arrived(card);
  }

  #arrived(card) {
    this.#spentMs = 0;
    this.#shownAt = document.hidden ? null : performance.now();
    clearInterval(this.#lookAgain);
    if (!isReal(card)) this.#lookAgain = setInterval(() => this.refill(), LOOK_AGAIN_MS);
    this.onShow(card);
    this.#decodeAhead();
  }

  #waitCard() {
    const card = document.getElementById("review-wait").content.firstElementChild.cloneNode(true);
    const isAway = this.outbox.size > 0;
    for (const part of card.querySelectorAll("[data-when]")) {
      part.hidden = (part.dataset.when === "away") !== isAway;
    }
    return card;
  }

  seconds() {
    const running = this.#shownAt === null ? 0 : performance.now() - this.#shownAt;
    return ((this.#spentMs + running) / 1000).toFixed(2);
  }

  // --- Cards ahead ------------------------------------------------------------------------

  held() {
    return [this.current, ...this.#ahead].flatMap(tokensOf);
  }

  async refill() {
    const room = Math.min(this.most, this.#share()) - this.#ahead.length;
    if (this.#isAsking || this.outbox.size || (room < 1 && isReal(this.current))) return;
    this.#isAsking = true;
    const count = Math.max(1, room);
    try {
      const wished = this.wish ? [...new FormData(this.wish)] : [];
      const fields = [...wished, ...this.#round(), ["count", count], ...this.held().map((t) => ["tokens", t])];
      const { ok, answer } = await post(root.dataset.more, fields);
      if (ok) this.#takeIn(await answer.text());
    } catch {
      // No network just now: the next answer, or the next look, tries again.
    }
    this.#isAsking = false;
  }

  // A page holds an eighth of what is left at most, so that others have some.
  #share() {
    return Math.max(1, Math.floor(this.#left() / 8));
  }

  #takeIn(html) {
    const parsed = new DOMParser().parseFromString(html, "text/html");
    const known = new Set(this.held());
    for (const found of parsed.querySelectorAll(".review-card")) {
      const { problem } = found.dataset;
      if (problem) this.tell(problem);
      found.querySelector("[data-problem-note]")?.remove();
      const tokens = tokensOf(found);
      if (tokens.length && (known.has(tokens[0]) || this.outbox.has(tokens[0]))) continue;
      for (const image of found.querySelectorAll("[data-image]")) image.fetchPriority = "low";
      const card = document.importNode(found, true); // its images begin to load
      labelKeys(card);
      if (tokens.length) this.#ahead.push(card);
      else this.#last = card;
    }
    if (this.#ahead.length) {
      if (!isReal(this.current)) this.#advance();
      else this.#decodeAhead();
    } else if (this.#last && !isReal(this.current)) this.#show(this.#last);
    const note = parsed.querySelector("p[data-problem]");
    if (note) this.tell(note.dataset.problem);
  }

  #decodeAhead() {
    for (const card of this.#ahead.slice(0, 3)) {
      for (const image of card.querySelectorAll("[data-image]")) {
        image.fetchPriority = "high";
        image.decode().catch(() => {}); // the card itself says when its image does not load
      }
    }
  }

  #round() {
    const until = root.dataset.skippedUntil;
    return until ? [["skipped_until", until]] : [];
  }

  // --- Undo ----------------------------------------------------------------------------------

  async undo() {
    const unsent = this.outbox.takeBack((entry) => this.#answered.has(entry.tokens[0]));
    if (unsent) {
      this.#countUnsent();
      this.#takeBack(unsent.tokens, this.#answered.get(unsent.tokens[0]));
      return;
    }
    if (this.#isUndoing) return;
    this.#isUndoing = true;
    await this.outbox.emptied();
    if (this.outbox.size) this.tell("Your last answer is on its way. It can be undone once the network is back.");
    else await this.#askForUndo();
    this.#isUndoing = false;
  }

  async #askForUndo() {
    try {
      const { ok, answer } = await post(root.dataset.undo, [...this.#round(), ["token", newToken()]]);
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = parsed.querySelector(".review-card");
      if (ok && found) {
        const card = document.importNode(found, true);
        labelKeys(card);
        this.#takeBack([card.dataset.undoneToken], card);
      } else this.tell(parsed.querySelector("[data-problem]")?.dataset.problem ?? "Undo did not work; try again.");
    } catch {
      this.tell("There is no network: undo works again once it is back.");
    }
  }

  #takeBack(tokens, card) {
    if (isReal(this.current)) this.#ahead.unshift(this.current);
    this.#ahead = this.#ahead.filter((other) => tokensOf(other)[0] !== tokensOf(card)[0]);
    this.#show(card);
    for (const token of tokens) {
      const item = strip.querySelector(`[data-said="${token}"]`);
      this.#count(-1, [[token, item?.dataset.verdict ?? card.dataset.undone]]);
      item?.remove();
    }
    this.#flash("undone", "Taken back");
    live.textContent = `Taken back. Again: ${card.dataset.name ?? ""}.`;
  }

  // --- The strip -------------------------------------------------------------------------------

  #remember(token, verdict, { name, thumb, page }) {
    const item = document.getElementById("review-said").content.firstElementChild.cloneNode(true);
    item.querySelector("a").href = page;
    item.querySelector("img").src = thumb;
    item.dataset.name = name;
    this.#mark(item, token, verdict);
    strip.prepend(item);
    while (strip.children.length > STRIP) strip.lastElementChild.remove();
  }

  #mark(item, token, verdict) {
    const name = item.dataset.name ?? item.querySelector("img").alt.split(",")[0];
    const words = SAID[verdict];
    const other = verdict === "approve" ? "reject" : "approve";
    item.className = `is-${verdict}`;
    Object.assign(item.dataset, { name, verdict, said: token });
    item.querySelector("img").alt = `${name}, ${words.toLowerCase()}`;
    item.querySelector("a").title = `${name}: ${words.toLowerCase()}`;
    const button = item.querySelector("button");
    button.value = other;
    button.querySelector("[aria-hidden]").textContent = MARK[verdict];
    button.querySelector(".visually-hidden").textContent = `${words}. Change to ${SAID[other].toLowerCase()}.`;
  }

  #change(item, verdict) {
    const token = newToken();
    const fields = [["decision", item.dataset.said], ["token", token], ["verdict", verdict]];
    const was = item.dataset.verdict;
    this.#mark(item, token, verdict);
    live.textContent = `${item.dataset.name}: now ${SAID[verdict].toLowerCase()}.`;
    if (!(was === "approve" || was === "reject")) this.#countDone(1);
    this.outbox.push({ id: token, tokens: [token], url: root.dataset.change, fields });
    this.#countUnsent();
  }

  #changeCame(entry, html, wasTaken) {
    const parsed = new DOMParser().parseFromString(html, "text/html");
    if (wasTaken && parsed.querySelector("[data-said]")) return;
    this.tell(parsed.querySelector("[data-problem]")?.dataset.problem ?? "The change was not taken.");
    strip.querySelector(`[data-said="${entry.tokens[0]}"]`)?.remove();
  }

  // --- How far it is ----------------------------------------------------------------------------

  #left() {
    return parseInt(document.querySelector("[data-count=left]").textContent, 10) || 0;
  }

  // Done and left are counted along here; each heartbeat brings the server's numbers.
  #count(step, said) {
    const judged = said.filter(([, verdict]) => verdict === "approve" || verdict === "reject");
    this.#countDone(Math.sign(step) * judged.length);
    const left = document.querySelector("[data-count=left]");
    if (!left.textContent.endsWith("+")) left.textContent = Math.max(0, this.#left() - step);
  }

  #countDone(step) {
    const done = document.querySelector("[data-count=done]");
    done.textContent = Math.max(0, Number(done.textContent) + step);
  }

  // --- What is said ------------------------------------------------------------------------------

  #say(state) {
    const count = this.outbox.size;
    const kept = `${count} answer${count === 1 ? " is" : "s are"} kept on this device`;
    const words = {
      sent: stateLine.dataset.state === "offline" ? "The network is back, and all your answers are sent." : "",
      sending: stateLine.dataset.state === "offline" ? `The network is back: ${count} more to send.` : "",
      offline: `No network just now. Go on: ${kept}, and sent when it is back.`,
      busy: `The server is busy. Go on: ${kept}, and sent in a moment.`,
      "signed-out": `You were signed out. ${kept}: sign in again in another tab, and they are sent.`,
      refused: `${kept}. Load this page again to send ${count === 1 ? "it" : "them"}.`,
    }[state];
    if (state === "sent" && words) setTimeout(() => this.#clear(words), 4_000);
    if (state !== "sending") stateLine.dataset.state = state;
    this.#write(words);
  }

  // Something that the reviewer should know, for a while.
  tell(words) {
    stateLine.dataset.state = "told";
    this.#write(words);
    setTimeout(() => this.#clear(words), 8_000);
  }

  #write(words) {
    stateLine.textContent = words;
    stateLine.hidden = !words;
  }

  #clear(words) {
    if (stateLine.textContent === words) this.#write("");
  }

  #flash(verdict, words) {
    const flash = document.getElementById("review-flash");
    flash.textContent = words.replace(/\.$/, "");
    flash.className = `review-flash is-${verdict} ${flash.classList.contains("is-odd") ? "" : "is-odd"}`;
  }

  // --- The lease: kept while the page is seen, given back when it is left -------------------------

  async #beat() {
    const tokens = [...this.held(), ...this.outbox.entries.flatMap((entry) => entry.tokens)];
    if (document.hidden || !tokens.length) return;
    try {
      const { ok, answer } = await post(root.dataset.heartbeat, tokens.map((t) => ["tokens", t]));
      if (ok) this.#beaten(await answer.text());
    } catch {
      // No network just now: the next heartbeat tries again.
    }
  }

  #beaten(html) {
    const parsed = new DOMParser().parseFromString(html, "text/html");
    const fresh = parsed.getElementById("review-progress");
    if (!fresh) return;
    const left = fresh.querySelector("[data-count=left]");
    if (!left.textContent.endsWith("+")) left.textContent = Number(left.textContent) + this.held().length;
    if (!this.outbox.size) document.getElementById("review-progress").replaceWith(fresh);
    const lost = new Set((fresh.dataset.lost ?? "").split(" ").filter(Boolean));
    if (!lost.size) return;
    const isLost = (card) => tokensOf(card).some((token) => lost.has(token) && !this.outbox.has(token));
    this.#ahead = this.#ahead.filter((card) => !isLost(card));
    if (isLost(this.current)) {
      this.tell("Your last image went back to the queue because it lay open too long.");
      this.#advance();
    }
    this.refill();
  }

  #bind() {
    setInterval(() => this.#beat(), HEARTBEAT_MS);
    setTimeout(() => this.#beat(), FIRST_HEARTBEAT_MS);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        if (this.#shownAt !== null) this.#spentMs += performance.now() - this.#shownAt;
        this.#shownAt = null;
      } else {
        this.#shownAt = performance.now();
        this.#beat();
      }
    });
    window.addEventListener("pagehide", () => {
      this.outbox.sendLast();
      const open = this.held().filter((token) => !this.outbox.has(token));
      const body = new URLSearchParams(open.map((token) => ["tokens", token]));
      body.append("csrfmiddlewaretoken", csrf());
      if (open.length) navigator.sendBeacon(root.dataset.leave, body);
    });
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) window.location.reload(); // its cards were given back
    });
    document.addEventListener("submit", (event) => {
      const kind = event.target.dataset.form;
      if (kind !== "undo" && kind !== "change") return;
      event.preventDefault();
      if (kind === "undo") this.undo();
      else this.#change(event.target.closest("[data-said]"), event.submitter.value);
    });
  }
}

document.body.classList.add("has-script");
