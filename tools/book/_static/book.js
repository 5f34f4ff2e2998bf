// What the theme leaves out for those who listen to a page or use only the keyboard.
document.querySelector(".sidebar-drawer").setAttribute("aria-label", "All pages");
document.querySelector(".toc-drawer")?.setAttribute("aria-label", "This page");
for (const caption of document.querySelectorAll(".caption[role=heading]")) caption.setAttribute("aria-level", 2);
for (const fold of document.querySelectorAll("summary")) fold.removeAttribute("aria-label");  // its text says what it does

// What is too wide for the page scrolls by itself: let the keyboard reach it.
function reachable(selector, name) {
  for (const block of document.querySelectorAll(selector)) {
    if (block.scrollWidth > block.clientWidth) {
      block.tabIndex = 0;
      block.setAttribute("role", "group");
      block.setAttribute("aria-label", `${name}, scrolls sideways`);
    }
  }
}
reachable("pre", "code");
reachable(".table-wrapper", "table");
// A formula has its width only when it is drawn.
window.addEventListener("load", () => window.MathJax?.startup?.promise.then(() => reachable("div.math", "formula")));
