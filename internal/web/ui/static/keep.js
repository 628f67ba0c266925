// Offers to copy the backup codes or the key of an authenticator app, and to save or print the codes.
for (const tools of document.querySelectorAll("[data-keep]")) {
  const kept = document.getElementById(tools.dataset.keep);
  const codes = [...kept.querySelectorAll("code")].map((code) => code.textContent.trim());
  const text = codes.length > 0 ? codes.join("\n") + "\n" : kept.textContent.replace(/\s/g, "");
  const said = document.createElement("span");
  said.className = "said";
  said.setAttribute("role", "status");
  const add = (label, act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "slim";
    button.textContent = label;
    button.addEventListener("click", act);
    tools.append(button);
  };
  if (navigator.clipboard) {
    add(codes.length > 0 ? tools.dataset.copy : tools.dataset.copyKey, async () => {
      try {
        await navigator.clipboard.writeText(text);
        said.textContent = tools.dataset.copied;
      } catch {
        said.textContent = tools.dataset.failed;
      }
    });
  }
  if (codes.length > 0) {
    add(tools.dataset.download, () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
      link.download = "backup-codes.txt";
      link.click();
    });
    add(tools.dataset.print, () => print());
  }
  tools.append(said);
}
