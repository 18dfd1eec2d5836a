/** Of a session: a sealed adapter (models/). */
export interface SessionAdapter {
  readonly address: string
  readonly bytes: number
  /** Of a soft prompt: rows before the text. Undefined: it stands beside the matrices of the layers. */
  readonly tokens?: number
}
