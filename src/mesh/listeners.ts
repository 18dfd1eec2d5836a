/** Who wants to hear of changes. A listener that throws is logged, and does not keep the others from hearing. */
import type { MeshLogger } from './needs.ts'
import type { MeshEvents } from './types.ts'

type EventName = keyof MeshEvents
type Arguments<Name extends EventName> = Parameters<NonNullable<MeshEvents[Name]>>

export interface Listeners {
  readonly on: (events: MeshEvents) => () => void
  emit<Name extends EventName>(name: Name, ...values: Arguments<Name>): void
}

export function createListeners(logger: MeshLogger): Listeners {
  const listeners = new Set<MeshEvents>()
  return {
    on(events) {
      // A copy, so that the same object given twice is two listeners.
      const own = { ...events }
      listeners.add(own)
      return () => void listeners.delete(own)
    },
    emit(name, ...values) {
      for (const listener of listeners) {
        const call = listener[name] as ((...values: unknown[]) => void) | undefined
        try {
          call?.(...values)
        } catch (error) {
          logger.warn({ err: error, event: name }, 'a listener of the mesh failed')
        }
      }
    },
  }
}
