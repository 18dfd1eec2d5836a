/** Folders whose content is run: nobody else may write them, whatever mask this process was started with. */
import { mkdirSync } from 'node:fs'

/** Where it cannot be made, whoever uses it says so, or does without. */
export function makePrivate(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch {
    // A disk that is full, or read-only.
  }
}
