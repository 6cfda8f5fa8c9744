// What was decided and is not yet on record: kept in the browser until the server has it.
//
// Every entry carries the token of its card, and the server takes a token once: so to send again
// is always safe, from this page, from the next one, or from another tab.

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;
const PATIENCE_MS = 15_000;

export const csrf = () => document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";

export async function post(url, fields) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "HX-Request": "true", "X-CSRFToken": csrf() },
    body: new URLSearchParams(fields),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  const isAtSignIn = new URL(answer.url).pathname === document.body.dataset.signIn;
  return { ok: answer.ok && !isAtSignIn, status: isAtSignIn ? 401 : answer.status, answer };
}

export class Outbox {
  #key;
  #isSending = false;
  #timer = 0;
  #waitMs = FIRST_WAIT_MS;
  #tried = new Set();

  // onAnswer(entry, html, wasTaken) for each that the server has answered;
  // onState(state) with "sent", "sending", "offline", "busy", "signed-out" or "refused".
  constructor({ person, onAnswer, onState }) {
    this.#key = `review-outbox-${person}`;
    this.onAnswer = onAnswer;
    this.onState = onState;
    this.entries = this.#stored();
    window.addEventListener("online", () => this.pump());
  }

  get size() {
    return this.entries.length;
  }

  has(token) {
    return this.entries.some((entry) => entry.tokens.includes(token));
  }

  push(entry) {
    this.entries.push(entry);
    // After the next card is on its way to the screen: storing and sending must not delay it.
    setTimeout(() => {
      if (this.entries.includes(entry)) this.#store([...this.#stored(), entry]);
      this.pump();
    });
  }

  // Takes the newest entry back, if it may be and no byte of it has left; returns it, else null.
  takeBack(mayBe) {
    const entry = this.entries.at(-1);
    if (!entry || this.#tried.has(entry.id) || !mayBe(entry)) return null;
    this.#forget(entry);
    return entry;
  }

  async pump() {
    clearTimeout(this.#timer);
    if (this.#isSending || !this.size) return;
    this.#isSending = true;
    let state = "sent";
    while (this.size && state === "sent") state = await this.#send(this.entries[0]);
    this.#isSending = false;
    if (state === "sent") this.#waitMs = FIRST_WAIT_MS;
    else if (state !== "refused") {
      this.#timer = setTimeout(() => this.pump(), this.#waitMs);
      this.#waitMs = Math.min(2 * this.#waitMs, LONGEST_WAIT_MS);
    }
    this.onState(state);
  }

  async #send(entry) {
    this.#tried.add(entry.id);
    let reply;
    let html;
    try {
      reply = await post(entry.url, entry.fields);
      html = await reply.answer.text();
    } catch {
      return "offline";
    }
    const { ok, status } = reply;
    if (status === 401) return "signed-out";
    if (status === 403) return "refused"; // a new sign-in elsewhere: only a new page may send
    if (status === 429 || status >= 500) {
      this.#waitMs = Math.max(this.#waitMs, 1000 * Number(reply.answer.headers.get("Retry-After")));
      return "busy";
    }
    this.#forget(entry);
    this.onAnswer(entry, html, ok);
    return "sent";
  }

  // The page is left: what it still has goes off without waiting, and stays here besides.
  sendLast() {
    for (const entry of this.entries) {
      const body = new URLSearchParams(entry.fields);
      body.append("csrfmiddlewaretoken", csrf());
      navigator.sendBeacon(entry.url, body);
    }
  }

  // Waits until all is sent, or the network proves to be away.
  async emptied() {
    this.pump();
    while (this.size && this.#isSending) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  #forget(entry) {
    this.entries = this.entries.filter((other) => other.id !== entry.id);
    this.#store(this.#stored().filter((other) => other.id !== entry.id));
  }

  #stored() {
    try {
      return JSON.parse(localStorage.getItem(this.#key) ?? "[]");
    } catch {
      return []; // storage is off: it holds as long as the page is open
    }
  }

  #store(entries) {
    try {
      if (entries.length) localStorage.setItem(this.#key, JSON.stringify(entries));
      else localStorage.removeItem(this.#key);
    } catch {
      // the same
    }
  }
}
