document.documentElement.classList.add("js");
const unfold = () => {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!place) return;
  for (let at = place; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  place.scrollIntoView({ block: "start" });
};
addEventListener("hashchange", unfold);
unfold();
const all = document.getElementById("all");
all.addEventListener("click", () => {
  const open = all.getAttribute("aria-pressed") !== "true";
  document.querySelectorAll("details").forEach((details) => { details.open = open; });
  all.setAttribute("aria-pressed", String(open));
  all.textContent = open ? "Fold everything" : "Unfold everything";
});
