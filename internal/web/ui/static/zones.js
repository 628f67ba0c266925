// Suggests the names of time zones that the browser knows.
const input = document.querySelector("input[name=zoneinfo]");
const zones = Intl.supportedValuesOf?.("timeZone") ?? [];
if (input && zones.length > 0) {
  const list = document.createElement("datalist");
  list.id = "zones";
  for (const zone of zones) list.append(new Option(zone, zone));
  input.after(list);
  input.setAttribute("list", list.id);
  if (input.value === "") input.placeholder = Intl.DateTimeFormat().resolvedOptions().timeZone;
}
