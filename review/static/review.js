// Keys for those who like them. Every page works without this file.
"use strict";
(() => {
  const store = (value) => {
    try {
      if (value !== undefined) localStorage.setItem("zebrawatch-keys", value);
      return localStorage.getItem("zebrawatch-keys");
    } catch { return null; }
  };
  const help = document.getElementById("keys");
  const on = document.getElementById("keys-on");
  if (on) {
    on.checked = store() !== "off";
    on.addEventListener("change", () => store(on.checked ? "on" : "off"));
  }

  const pane = document.querySelector("section.notes");
  const show = (element) => {
    document.querySelectorAll(".here").forEach((one) => one.classList.remove("here"));
    const mark = element.matches("span[id]") && element.nextElementSibling?.matches("mark") ? element.nextElementSibling : element;
    mark.classList.add("here");
    if (pane && pane.contains(mark) && getComputedStyle(pane).overflowY === "auto") {
      const top = mark.getBoundingClientRect().top - pane.getBoundingClientRect().top;
      pane.scrollBy({ top: top - pane.clientHeight / 3, behavior: "instant" });
    } else {
      mark.scrollIntoView({ block: "center", behavior: "instant" });
    }
  };

  // A link to a quote scrolls the notes, not the page, and points the quote out.
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"], [data-to]');
    const place = link && (link.dataset.to || link.getAttribute("href"));
    const target = place && document.getElementById(place.slice(1));
    if (target && pane && pane.contains(target)) {
      event.preventDefault();
      history.replaceState(null, "", place);
      show(target);
    }
  });

  const step = (elements, from, by) => {
    const list = [...elements];
    if (!list.length) return null;
    const at = list.indexOf(from);
    return list[at < 0 ? (by > 0 ? 0 : list.length - 1) : (at + by + list.length) % list.length];
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=radio]):not([type=checkbox]), textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || (on && !on.checked) || !help) return;
    const move = { j: 1, k: -1 }[event.key];
    const mark = { n: 1, p: -1 }[event.key];
    if (event.key === "?") {
      help.open ? help.close() : help.showModal();
    } else if (help.open) {
      return;
    } else if (move) {
      const lines = document.querySelectorAll("table.worklist a.go");
      if (lines.length) {
        step(lines, document.activeElement, move)?.focus();
      } else {
        const note = step(document.querySelectorAll("article.note"), document.activeElement.closest("article.note"), move);
        if (note) { note.focus({ preventScroll: true }); show(note); }
      }
    } else if (mark) {
      const marks = document.querySelectorAll("mark.for, mark.against, mark.model");
      const next = step([...marks].filter((one) => pane && pane.contains(one)), document.querySelector("mark.here"), mark);
      if (next) show(next);
    } else if (/^[1-4]$/.test(event.key)) {
      const choice = document.querySelectorAll("form.verdict input[name=verdict]")[Number(event.key) - 1];
      if (!choice) return;
      choice.checked = true;
      choice.focus();
    } else if (event.key === "r") {
      const reason = document.getElementById("reason");
      if (!reason) return;
      reason.focus();
    } else if (event.key === "w") {
      location.assign("/worklist");
    } else {
      return;
    }
    event.preventDefault();
  });
})();
