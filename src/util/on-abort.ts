/** Called with the reason when it is aborted, unless that is called off by what is returned. */
export function onAbort(signal: AbortSignal, action: (reason: Error) => void): () => void {
  const aborted = (): void => action(signal.reason as Error)
  signal.addEventListener('abort', aborted, { once: true })
  return () => signal.removeEventListener('abort', aborted)
}
