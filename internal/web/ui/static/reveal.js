// Puts a button into every password field that shows what was typed, for people who cannot see their fingers well.
// The field is hidden again before it is sent, so that no browser remembers it as ordinary text.
for (const box of document.querySelectorAll("[data-reveal]")) {
  const input = box.querySelector("input");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "reveal";
  button.setAttribute("aria-controls", input.id);
  const name = document.querySelector(`label[for="${input.id}"]`)?.textContent ?? "";
  const show = (on) => {
    input.type = on ? "text" : "password";
    button.textContent = on ? box.dataset.hide : box.dataset.show;
    button.setAttribute("aria-label", `${button.textContent}: ${name}`);
    const root = parseFloat(getComputedStyle(document.documentElement).fontSize);
    if (button.offsetWidth) input.style.paddingInlineEnd = `${(button.offsetWidth + 4) / root}rem`;
  };
  button.addEventListener("click", () => show(input.type === "password"));
  input.form?.addEventListener("submit", () => show(false));
  box.append(button);
  show(false);
}
