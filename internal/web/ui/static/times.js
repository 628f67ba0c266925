// Shows times in the browser's time zone where the account names none. The server has written them in UTC.
const format = new Intl.DateTimeFormat(navigator.languages.find((language) => language.startsWith("en")) ?? "en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
for (const time of document.querySelectorAll("time[data-local]")) {
  const part = Object.fromEntries(format.formatToParts(new Date(time.dateTime)).map(({ type, value }) => [type, value]));
  const words = `${part.day} ${part.month.slice(0, 3)} ${part.year}, ${part.hour}:${part.minute} ${part.timeZoneName}`;
  const exact = time.querySelector(".exact");
  if (exact) exact.textContent = `(${words})`;
  else time.textContent = words;
}
