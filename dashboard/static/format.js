// Numbers for people: shares become percent, seconds become minutes, nothing becomes a dash.

const whole = new Intl.NumberFormat("en");

export const count = (value) => whole.format(value);
export const percent = (share, digits = 2) => (share === null || share === undefined ? "–" : (100 * share).toFixed(digits));

/** A share in percent; on an axis with few digits, as its `step` allows. */
export const share = (value, step = 0) => (100 * value).toFixed(step >= 0.0099 ? 0 : 1);
export const isShare = (metric) => /(_accuracy|_fit_given|_recovered_true)$/.test(metric);
export const short = (id) => id.slice(0, 8);

export function plain(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(+value.toPrecision(4));
}

/** How to write a factor's values: a whole part (`{name, ...}`) by its name and what differs between the parts. */
export function factorWriter(values) {
  const parts = values.filter((value) => value !== null && typeof value === "object");
  const written = (key) => parts.filter((part) => key in part).map((part) => JSON.stringify(part[key]));
  const differs = (key) => key !== "name" && new Set(written(key)).size > 1;
  const keys = [...new Set(parts.flatMap(Object.keys))].filter(differs);
  return (value) => {
    if (value === null || value === undefined) return "–";
    if (typeof value !== "object") return String(value);
    const given = keys.filter((key) => (value[key] ?? null) !== null);
    return [value.name ?? "", ...given.map((key) => `${key} ${JSON.stringify(value[key])}`)].filter(Boolean).join(", ") || JSON.stringify(value);
  };
}

export function duration(seconds) {
  if (seconds < 1) return "under a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86400).toFixed(1)} days`;
}

export function moment(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return new Date(1000 * seconds).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}
