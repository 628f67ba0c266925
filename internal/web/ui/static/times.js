// Shows times in the browser's time zone where the account names none. The server has written them in UTC.
const english = navigator.languages.find((language) => language.startsWith("en")) ?? "en-GB";
const page = document.documentElement.lang;
const format = new Intl.DateTimeFormat(page === "en" ? english : `${page}-u-nu-latn`, {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
for (const time of document.querySelectorAll("time[data-local]")) {
  const part = Object.fromEntries(format.formatToParts(new Date(time.dateTime)).map(({ type, value }) => [type, value]));
  const words = page === "en" ? `${part.day} ${part.month.slice(0, 3)} ${part.year}, ${part.hour}:${part.minute} ${part.timeZoneName}` :
    format.format(new Date(time.dateTime));
  const exact = time.querySelector(".exact");
  if (exact) exact.textContent = `(${words})`;
  else time.textContent = words;
}
