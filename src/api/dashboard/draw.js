/** Small helpers for the page. Text is only ever set as text: names come from other peers. */

export function element(tag, attributes = {}, children = []) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) if (value !== '') made.setAttribute(name, value)
  made.append(...children)
  return made
}

/** Replaces what is in a list, or says that there is nothing. */
export function fill(list, rows, nothing) {
  if (rows.length > 0 || nothing === '') list.replaceChildren(...rows)
  else list.replaceChildren(element(list.tagName === 'UL' ? 'li' : 'div', { class: 'quiet' }, [nothing]))
}

export function bytes(count) {
  if (!Number.isFinite(count) || count <= 0) return ''
  const power = Math.min(4, Math.floor(Math.log2(count) / 10))
  const value = count / 1024 ** power
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`
}

export function milliseconds(value) {
  if (value === null || value === undefined) return ''
  return `${value < 10 ? value.toFixed(2) : Math.round(value)} ms`
}
