"use strict";
(() => {
  const field = (id) => document.getElementById(id);
  const PAGE = 60;
  const WORDS = { open: "open", accept: "accepted", reject: "rejected", edit: "edited" };
  const SIGNS = { open: "", accept: "✓ accepted", reject: "✕ rejected", edit: "✎ edited" };
  const FILTERS = ["q", "category", "language", "level", "decision", "rule"];
  const list = field("list"), pane = field("pane"), detail = field("detail");

  let rows = [];          // those that were fetched, in their order
  let at = -1;            // the one that is looked at
  let more = false;       // whether the server has further ones
  let fetching = null;
  let asked = 0;          // number of the newest look: an older answer is too late
  let editing = false;
  let deciding = Promise.resolve();
  const before = [];      // what was decided here, to be undone

  const make = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const alertOf = (text) => { field("alert").textContent = text; field("alert").hidden = !text; };

  const talk = async (place, options) => {
    let answer;
    try { answer = await fetch(place, options); }
    catch { throw new Error("The review has ended: its server does not answer. All decisions so far are kept."); }
    const said = answer.headers.get("content-type") === "application/json" ? await answer.json() : { problem: await answer.text() };
    if (!answer.ok) throw new Error(said.problem);
    return said;
  };

  // The list

  const shown = (row) => (row.edited.length ? row.edited : row.messages);
  const firstOf = (row, role) => (shown(row).find((one) => one.role === role) ?? { content: "" }).content;

  const fill = (item, row) => {
    const flags = row.flags.length ? `⚑ ${[...new Set(row.flags.map((flag) => flag.rule))].join(", ")}` : "";
    item.className = row.decision === "reject" ? "reject-row" : "";
    item.replaceChildren(
      make("span", "asked", firstOf(row, "user")),
      make("span", `mark ${row.decision}`, SIGNS[row.decision] || flags),
      make("span", "said", firstOf(row, "assistant")),
    );
  };
  const itemOf = (row, index) => {
    const item = make("li");
    item.id = `row-${row.number}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", "false");
    item.addEventListener("click", () => choose(index));
    fill(item, row);
    return item;
  };

  const tellCounts = (counts) => {
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
    for (const word of ["accept", "edit", "reject"]) field(`done-${word}`).style.width = `${(100 * counts[word]) / (total || 1)}%`;
    const said = ["accept", "edit", "reject"].filter((word) => counts[word]).map((word) => `${counts[word].toLocaleString("en")} ${WORDS[word]}`);
    field("progress").textContent = `${(total - counts.open).toLocaleString("en")} of ${total.toLocaleString("en")} decided` + (said.length ? ` · ${said.join(", ")}` : "");
  };

  const nearEnd = () => more && pane.scrollTop + pane.clientHeight > pane.scrollHeight - 600;
  const load = (afresh) => {
    if (!afresh && (fetching || !more)) return fetching ?? Promise.resolve();
    const mine = ++asked;
    const wanted = new URLSearchParams(FILTERS.map((name) => [name, field(name).value]));
    wanted.set("after", afresh || !rows.length ? -1 : rows.at(-1).number);
    wanted.set("count", PAGE);
    fetching = talk(`rows?${wanted}`).then((page) => {
      if (mine !== asked) return;
      fetching = null;
      if (afresh) { rows = []; at = -1; list.replaceChildren(); pane.scrollTop = 0; }
      const start = rows.length;
      rows.push(...page.rows);
      more = page.more;
      list.append(...page.rows.map((row, n) => itemOf(row, start + n)));
      field("total").textContent = page.total === 1 ? "1 example" : `${page.total.toLocaleString("en")} examples`;
      field("empty").hidden = rows.length > 0;
      tellCounts(page.counts);
      alertOf("");
      if (at < 0) choose(rows.length ? 0 : -1);
      // A tall window may hold more than one page, and who drags the bar is there before the rows.
      if (nearEnd()) return load(false);
    }).catch((error) => { if (mine === asked) fetching = null; alertOf(error.message); });
    return fetching;
  };

  const choose = (index) => {
    if (editing) stopEditing();
    if (at >= 0) list.children[at]?.setAttribute("aria-selected", "false");
    at = index;
    detail.hidden = at < 0;
    if (at < 0) { list.removeAttribute("aria-activedescendant"); return; }
    const item = list.children[at];
    item.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", item.id);
    const box = item.getBoundingClientRect(), frame = pane.getBoundingClientRect();
    if (box.top < frame.top) pane.scrollTop -= frame.top - box.top + 40;
    else if (box.bottom > frame.bottom) pane.scrollTop += box.bottom - frame.bottom + 40;
    tell(rows[at]);
    if (at > rows.length - 30) load(false);
  };
  const move = async (step) => {
    if (step > 0 && at === rows.length - 1 && more) await load(false);
    const next = Math.min(Math.max(at + step, 0), rows.length - 1);
    if (next !== at && next >= 0) choose(next);
  };

  // One example

  const note = (className, name, text) => {
    const made = make("p", className);
    if (name) made.append(make("b", "", name), ": ");
    made.append(text);
    return made;
  };
  const tell = (row) => {
    const where = [row.category, row.topic === row.category ? "" : row.topic, row.language, row.level, row.teacher].filter(Boolean);
    const source = make("code", "", row.source.length === 64 ? row.source.slice(0, 12) : row.source);
    source.title = row.source;
    field("meta").replaceChildren(...where.map((word) => make("span", "", word)), source, make("code", "", row.id));
    const states = {
      accept: "Accepted: it trains as it is, warnings aside.",
      reject: "Rejected: the next build leaves it out.",
      edit: "Edited: it trains with this text.",
    };
    field("notes").replaceChildren(
      ...(states[row.decision] ? [note(`state ${row.decision}`, "", states[row.decision])] : []),
      ...(row.lapsed ? [note("", "", `Another text of this example was ${WORDS[row.lapsed]}. This one is new.`)] : []),
      ...row.flags.map((flag) => note(flag.severity, flag.rule, flag.message)),
      ...(row.reason ? [note("judged", Object.entries(row.scores).map(([name, score]) => `${name} ${score}`).join(", "), row.reason)] : []),
    );
    field("messages").replaceChildren(...shown(row).map((message, n) => {
      const made = make("div", `message ${message.role}`);
      made.append(make("span", "role", message.role), make("div", "text", message.content));
      const was = row.messages[n].content;
      if (was !== message.content) made.append(make("div", "was", was));
      return made;
    }));
    for (const button of detail.querySelectorAll("[data-do]")) {
      button.hidden = ["save", "cancel"].includes(button.dataset.do);
      if (button.dataset.do === "open") button.hidden = row.decision === "open";
      else button.setAttribute("aria-pressed", String(button.dataset.do === row.decision));
    }
    detail.scrollTop = 0;
  };

  const post = (body) => talk("decide", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const put = (row, decision, messages) => {
    // One after the other, in the order in which they were typed.
    deciding = deciding.then(async () => {
      const said = await post({ id: row.id, text: row.text, decision, messages });
      for (const [index, one] of rows.entries()) {
        if (one.id !== row.id || one.text !== row.text) continue;
        rows[index] = { ...said.row, number: one.number, category: one.category, topic: one.topic, language: one.language, level: one.level, source: one.source, teacher: one.teacher, flags: one.flags, scores: one.scores, reason: one.reason };
        fill(list.children[index], rows[index]);
        if (index === at && !editing) tell(rows[index]);
      }
      tellCounts(said.counts);
      alertOf("");
    }).catch((error) => alertOf(error.message));
    return deciding;
  };
  const remember = (row) => before.push({ row, decision: row.decision, messages: row.edited.map((one) => one.content) });
  const decide = (decision, messages) => {
    const row = rows[at];
    if (!row || (decision === "open" && row.decision === "open")) return;
    remember(row);
    put(row, decision, messages);
    return decision === "open" ? undefined : move(1);
  };
  const undo = async () => {
    const last = before.pop();
    if (!last) return;
    await put(last.row, last.decision, last.messages);
    const index = rows.findIndex((row) => row.number === last.row.number);
    if (index >= 0) choose(index);
  };

  // Edit

  const edit = () => {
    const row = rows[at];
    if (!row || editing) return;
    editing = true;
    for (const [n, made] of [...field("messages").children].entries()) {
      const area = make("textarea");
      area.value = shown(row)[n].content;
      area.setAttribute("aria-label", shown(row)[n].role);
      area.rows = Math.min(12, area.value.split("\n").length + 1);
      made.replaceChildren(made.firstChild, area);
    }
    for (const button of detail.querySelectorAll("[data-do]")) button.hidden = !["save", "cancel"].includes(button.dataset.do);
    const areas = field("messages").querySelectorAll("textarea");
    const last = [...shown(row).keys()].filter((n) => shown(row)[n].role === "assistant").at(-1) ?? 0;
    areas[last].focus();
    areas[last].setSelectionRange(areas[last].value.length, areas[last].value.length);
  };
  const stopEditing = () => {
    editing = false;
    list.focus({ preventScroll: true });
    if (at >= 0) tell(rows[at]);
  };
  const save = () => {
    const texts = [...field("messages").querySelectorAll("textarea")].map((area) => area.value);
    if (texts.some((text) => !text.trim())) { alertOf("No message may be empty: reject the example instead."); return; }
    stopEditing();
    decide("edit", texts);
  };

  // Keys and clicks

  const DO = { accept: () => decide("accept"), reject: () => decide("reject"), open: () => decide("open"), edit, save, cancel: stopEditing };
  const help = () => {
    field("help").hidden = !field("help").hidden;
    field("help-button").setAttribute("aria-expanded", String(!field("help").hidden));
  };
  const KEYS = {
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    PageDown: () => move(10), PageUp: () => move(-10), Home: () => rows.length && choose(0),
    a: DO.accept, r: DO.reject, e: edit, u: DO.open, z: undo, "?": help,
    "/": () => { field("q").focus(); field("q").select(); },
  };
  let typed = Promise.resolve();
  document.addEventListener("keydown", (event) => {
    const inField = event.target.closest("input, textarea, select");
    if (editing) {
      if (event.key === "Escape") { event.preventDefault(); stopEditing(); }
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); }
      return;
    }
    if (inField) {
      if (event.key === "Escape" || (event.key === "Enter" && inField.id === "q")) { event.preventDefault(); list.focus({ preventScroll: true }); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    // One after the other: at the end of what was fetched the next row has to come first.
    typed = typed.then(() => (editing ? undefined : KEYS[event.key]()));
  });
  for (const button of detail.querySelectorAll("[data-do]")) button.addEventListener("click", () => DO[button.dataset.do]());
  field("help-button").addEventListener("click", help);

  // The filter stands in the address, so that a reload keeps it

  let typing = 0;
  const look = () => {
    if (editing) stopEditing();
    const set = FILTERS.map((name) => [name, field(name).value]).filter(([, value]) => value);
    history.replaceState(null, "", "#" + new URLSearchParams(set));
    return load(true);
  };
  field("filter").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(look, event.target.id === "q" ? 150 : 0);
  });
  field("filter").addEventListener("submit", (event) => event.preventDefault());
  for (const [what, kind] of [[pane, "scroll"], [window, "resize"]]) what.addEventListener(kind, () => { if (nearEnd()) load(false); }, { passive: true });

  const start = async () => {
    const about = await talk("about");
    field("name").textContent = about.name;
    field("version").textContent = about.version;
    document.title = `Review · ${about.name} ${about.version}`;
    for (const [name, values] of Object.entries(about.choices)) {
      for (const value of values) {
        const option = make("option", "", value);
        option.value = value;
        field(name).append(option);
      }
    }
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const name of FILTERS) field(name).value = wanted.get(name) ?? "";
    await load(true);
    list.focus({ preventScroll: true });
  };
  start().catch((error) => alertOf(error.message));
})();
