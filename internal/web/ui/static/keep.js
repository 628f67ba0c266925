// Offers to copy or print the backup codes.
for (const tools of document.querySelectorAll("[data-keep]")) {
  const codes = [...document.querySelectorAll(`#${tools.dataset.keep} code`)].map((code) => code.textContent.trim());
  const said = document.createElement("span");
  said.className = "said";
  said.setAttribute("role", "status");
  const add = (text, act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "slim";
    button.textContent = text;
    button.addEventListener("click", act);
    tools.append(button);
  };
  if (navigator.clipboard) {
    add("Copy", async () => {
      try {
        await navigator.clipboard.writeText(codes.join("\n") + "\n");
        said.textContent = "Copied";
      } catch {
        said.textContent = "This browser does not allow copying";
      }
    });
  }
  add("Print", () => print());
  tools.append(said);
}
