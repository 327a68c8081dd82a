"use strict";
(function () {
  const cards = Array.from(document.querySelectorAll(".card"));
  const bar = document.querySelector(".filters");
  const buttons = Array.from(bar.querySelectorAll("button"));
  const matches = (card, filter) => filter === "all" || card.dataset.tags.split(" ").includes(filter);

  for (const button of buttons) {
    const filter = button.dataset.filter;
    const count = cards.filter((card) => matches(card, filter)).length;
    button.querySelector("b").textContent = count;
    button.hidden = count === 0 && filter !== "all";
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      for (const card of cards) card.hidden = !matches(card, filter);
    });
  }
  bar.hidden = false;
})();
