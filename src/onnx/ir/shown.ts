/** Names of a file as they may be printed: hostile files put escapes, reversed text and novels there. */
const MOST_CHARACTERS = 80
// Control characters beyond those that JSON escapes, marks that turn the direction of text, and separators of lines.
const HIDDEN = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/gu

export function shown(name: string): string {
  const cut = name.length > MOST_CHARACTERS ? `${name.slice(0, MOST_CHARACTERS)}...` : name
  return JSON.stringify(cut).replaceAll(HIDDEN, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`)
}

/** The first few of a list of names, and how many more there are. */
export function shownList(names: readonly string[], most = 6): string {
  const first = names.slice(0, most).map(shown).join(', ')
  return names.length > most ? `${first} and ${names.length - most} more` : first
}
