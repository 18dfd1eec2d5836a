/** Python's strftime, as far as chat templates use it, in UTC and English. */

const MONTHS = 'January February March April May June July August September October November December'.split(' ')
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')

/** `time`: milliseconds since 1970. A directive that is not known stays as it is. */
export function formatDate(time: number, format: string): string {
  const date = new Date(time)
  const two = (value: number): string => String(value).padStart(2, '0')
  const month = MONTHS[date.getUTCMonth()] ?? ''
  const day = DAYS[date.getUTCDay()] ?? ''
  const parts: Readonly<Record<string, string>> = {
    '%Y': String(date.getUTCFullYear()),
    '%y': two(date.getUTCFullYear() % 100),
    '%m': two(date.getUTCMonth() + 1),
    '%B': month,
    '%b': month.slice(0, 3),
    '%d': two(date.getUTCDate()),
    '%A': day,
    '%a': day.slice(0, 3),
    '%H': two(date.getUTCHours()),
    '%I': two(date.getUTCHours() % 12 || 12),
    '%p': date.getUTCHours() < 12 ? 'AM' : 'PM',
    '%M': two(date.getUTCMinutes()),
    '%S': two(date.getUTCSeconds()),
    '%%': '%',
  }
  return format.replace(/%[a-zA-Z%]/g, (directive) => parts[directive] ?? directive)
}
