/** A bounded event bus that remembers the last events, so that a client that was away can ask for what it missed. */

export interface BusEvent {
  /** `<boot>-<number>`: an id of an earlier run is recognised as such. */
  readonly id: string
  /** Lower case words with dots, e.g. `peer.joined`. */
  readonly event: string
  readonly at: string
  readonly data: Readonly<Record<string, unknown>>
}

export interface EventBus {
  publish(event: Omit<BusEvent, 'id'>): BusEvent
  /** Calls back for each new event until the returned function is called. A listener that throws is taken off. */
  subscribe(listener: (event: BusEvent) => void): () => void
  /** Events after the one named. `complete` is false where some are no longer known; undefined: only new ones wanted. */
  since(id: string | undefined): { readonly events: readonly BusEvent[]; readonly complete: boolean }
}

export interface EventsInit {
  /** Distinguishes runs; any short word. */
  readonly boot: string
  /** Events kept. @default 512 */
  readonly capacity?: number
}

/** At near 300 bytes each: some 150 KB, minutes of a busy mesh. */
const DEFAULT_CAPACITY = 512
const MAX_NAME = 64

export function createEvents(init: EventsInit): EventBus {
  const capacity = init.capacity ?? DEFAULT_CAPACITY
  const boot = init.boot.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 16)
  const ring: BusEvent[] = []
  const listeners = new Set<(event: BusEvent) => void>()
  let last = 0
  return {
    publish: (fields) => {
      last += 1
      const event = { ...fields, event: cleanName(fields.event), id: `${boot}-${last}` }
      ring.push(event)
      if (ring.length > capacity) ring.shift()
      for (const listener of listeners) {
        try {
          listener(event)
        } catch {
          listeners.delete(listener)
        }
      }
      return event
    },
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    since: (id) => {
      if (id === undefined) return { events: [], complete: true }
      const number = numberOf(id, boot)
      if (number === undefined || number > last) return { events: [...ring], complete: false }
      const oldest = last - ring.length + 1
      return { events: ring.slice(Math.max(0, number + 1 - oldest)), complete: number + 1 >= oldest }
    },
  }
}

function numberOf(id: string, boot: string): number | undefined {
  const [prefix, digits, rest] = id.split('-')
  if (prefix !== boot || rest !== undefined || digits === undefined || !/^\d{1,15}$/.test(digits)) return undefined
  return Number(digits)
}

/** A name goes into a line of its own in SSE: nothing that could begin another line. */
function cleanName(name: string): string {
  return name.slice(0, MAX_NAME).replaceAll(/[^A-Za-z0-9._-]/g, '_')
}
