/** This release, and where its files lie. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The folder of package.json: two above this file, in a checkout (`src`) as in the package (`dist`). */
export function packageRoot(): string {
  return fileURLToPath(new URL('../../', import.meta.url))
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

export const VERSION: string = readVersion()
