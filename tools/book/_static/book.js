// What the theme leaves out for those who listen to a page or use only the keyboard.
document.querySelector(".sidebar-drawer").setAttribute("aria-label", "All pages");
document.querySelector(".toc-drawer")?.setAttribute("aria-label", "This page");
for (const caption of document.querySelectorAll(".caption[role=heading]")) caption.setAttribute("aria-level", 2);
for (const fold of document.querySelectorAll("summary")) fold.removeAttribute("aria-label");  // its text says what it does

// What is too wide for the page scrolls by itself: let the keyboard reach it.
for (const block of document.querySelectorAll("pre, .table-wrapper")) {
  if (block.scrollWidth > block.clientWidth) {
    block.tabIndex = 0;
    block.setAttribute("role", "group");
    block.setAttribute("aria-label", block.tagName === "PRE" ? "code, scrolls sideways" : "table, scrolls sideways");
  }
}
