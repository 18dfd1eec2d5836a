/** Stop strings in streamed text, also across token borders: what might still become one is held back. */

export interface StopStrings {
  /** Text that may be shown now; `stopped` once a stop string was completed, which is not part of the text. */
  push(text: string): { readonly text: string; readonly stopped: boolean }
  /** A stop string was completed: the text is over. */
  readonly stopped: boolean
  /** What was held back, when the text ends for another reason. */
  end(): string
}

export function createStopStrings(stops: readonly string[]): StopStrings {
  let held = ''
  let stopped = false
  return {
    get stopped() {
      return stopped
    },
    push(text) {
      if (stops.length === 0) return { text, stopped: false }
      held += text
      const found = earliest(held, stops)
      if (found >= 0) {
        const shown = held.slice(0, found)
        held = ''
        stopped = true
        return { text: shown, stopped }
      }
      const keep = Math.max(...stops.map((stop) => overlap(held, stop)))
      const shown = held.slice(0, held.length - keep)
      held = held.slice(held.length - keep)
      return { text: shown, stopped: false }
    },
    end() {
      const rest = held
      held = ''
      return rest
    },
  }
}

function earliest(text: string, stops: readonly string[]): number {
  const places = stops.map((stop) => text.indexOf(stop)).filter((place) => place >= 0)
  return places.length === 0 ? -1 : Math.min(...places)
}

/** Length of the longest end of `text` that is a beginning of `stop`, and not all of it. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length
  }
  return 0
}
