"use strict";

// Narrows the list of items down. Without it all of them are there.
const filters = document.getElementById("filters");
if (filters) {
  const items = [...document.querySelectorAll("details.item")].map((item) => ({
    item,
    words: item.querySelector("summary").textContent.toLowerCase(),
  }));
  const told = filters.querySelector("output");

  function narrow() {
    const wanted = new FormData(filters);
    const words = wanted.get("words").trim().toLowerCase();
    let shown = 0;
    for (const one of items) {
      const fits = [...filters.querySelectorAll("select")].every(
        ({ name }) => !wanted.get(name) || one.item.dataset[name] === wanted.get(name)
      );
      one.item.hidden = !(fits && one.words.includes(words));
      shown += !one.item.hidden;
    }
    told.value = `${shown} of ${items.length}`;
  }

  filters.addEventListener("input", narrow);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.hidden = false;
  narrow();
}
