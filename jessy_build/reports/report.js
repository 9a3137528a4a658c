"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);

  // Filter

  const form = one(".filter");
  const rows = all(".compare tbody tr");
  // Case and marks are folded, so that "tesekkur" finds "Teşekkür" and "ISTANBUL" finds "İstanbul".
  const fold = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "").replace(/ı/g, "i");
  const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  };
  const figure = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(1));
  const columns = (kept, side) => {
    const cells = kept.map((row) => row.dataset[side].split(" ").map(Number));
    return [0, 1, 2].map((index) => cells.map((cell) => cell[index]));
  };
  const summary = (kept) => {
    if (!kept.length) return "No prompt matches.";
    const [tokens, seconds, stopped] = columns(kept, "base");
    const [tokensNow, secondsNow, stoppedNow] = columns(kept, "tuned");
    const count = (flags) => flags.reduce((a, b) => a + b, 0);
    return `${kept.length} of ${rows.length} prompts · ` +
      `median ${figure(median(tokens))} → ${figure(median(tokensNow))} tokens, ` +
      `${median(seconds).toFixed(1)} → ${median(secondsNow).toFixed(1)} s · ` +
      `ended by themselves ${count(stopped)} → ${count(stoppedNow)}`;
  };
  const NAMES = ["q", "language", "complexity", "seen"];
  const field = (name) => document.getElementById(name);
  const apply = () => {
    const words = fold(field("q").value).split(/\s+/).filter(Boolean);
    const matches = (row) =>
      NAMES.slice(1).every((name) => !field(name).value || row.dataset[name] === field(name).value) &&
      words.every((word) => row.folded.includes(word));
    const kept = rows.filter((row) => !(row.hidden = !matches(row)));
    one(".shown").textContent = summary(kept);
    clamp();
  };
  // The filter stands in the address, so a view can be sent to somebody: report.html#language=tr
  const fromAddress = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (!NAMES.some((name) => wanted.has(name))) return;
    for (const name of NAMES) field(name).value = wanted.get(name) ?? "";
    apply();
  };
  const toAddress = () => {
    const set = NAMES.map((name) => [name, field(name).value]).filter(([, value]) => value);
    const hash = new URLSearchParams(set).toString();
    try { history.replaceState(null, "", hash ? "#" + hash : location.pathname); } catch { /* file: in some browsers */ }
  };

  // Long answers show their first lines

  const clamp = () => {
    for (const answer of all(".answer")) {
      const text = one(".text", answer);
      if (answer.dataset.open || !text.offsetParent) continue;
      answer.classList.add("clamped");
      let more = one(".more", answer);
      // A button that uncovers one more line is not worth its place.
      const cut = text.scrollHeight > text.clientHeight * 1.4;
      if (cut && !more) {
        more = Object.assign(document.createElement("button"), { type: "button", className: "more", textContent: "Show all of it" });
        more.addEventListener("click", () => {
          answer.dataset.open = "1";
          answer.classList.remove("clamped");
          more.remove();
        });
        text.after(more);
      } else if (!cut) {
        answer.classList.remove("clamped");
        more?.remove();
      }
    }
  };

  // The loss under the pointer, or under the arrow keys

  const word = (name, value) => (value === undefined || value === null ? "" : `\n${name} ${value}`);
  for (const plot of all(".curve")) {
    const svg = one("svg", plot), tip = one(".tip", plot), cursor = one(".cursor", plot);
    const points = JSON.parse(svg.dataset.points);
    let at = -1;
    const show = (index) => {
      at = Math.max(0, Math.min(points.length - 1, index));
      const [x, step, epoch, train, , valid, , speed] = points[at];
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      cursor.setAttribute("visibility", "visible");
      tip.textContent = `step ${step}, epoch ${epoch}` + word("training", train?.toFixed(3)) + word("validation", valid?.toFixed(3)) + word("tokens/s", speed);
      tip.hidden = false;
      const left = (x / svg.viewBox.baseVal.width) * svg.clientWidth;
      const room = svg.clientWidth - tip.offsetWidth;
      tip.style.left = `${Math.max(0, left + 12 > room ? Math.min(room, left - tip.offsetWidth - 12) : left + 12)}px`;
      tip.style.top = "34px";
    };
    const hide = () => {
      tip.hidden = true;
      cursor.setAttribute("visibility", "hidden");
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      let best = 0;
      points.forEach((point, index) => { if (Math.abs(point[0] - x) < Math.abs(points[best][0] - x)) best = index; });
      show(best);
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!move) return;
      event.preventDefault();
      show(at + move);
    });
  }

  // Copy

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.body.appendChild(Object.assign(document.createElement("textarea"), { value: text }));
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  for (const button of all(".copy")) {
    button.hidden = false;
    const label = button.textContent;
    button.addEventListener("click", async () => {
      await copy(button.dataset.copy ?? button.nextElementSibling.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = label; }, 1500);
    });
  }

  if (form) {
    for (const row of rows) row.folded = fold(row.textContent);
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => { apply(); toAddress(); });
    addEventListener("hashchange", fromAddress);
    fromAddress();
  }
  clamp();
  addEventListener("resize", clamp);
})();
