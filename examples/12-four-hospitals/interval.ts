/** An AUC with its 95 % interval (Hanley and McNeil 1982): of few patients, it says little. */
export function interval(auc: number | undefined, ill: number, well: number): string {
  if (auc === undefined || ill === 0 || well === 0) return 'one kind of patient'
  const q1 = auc / (2 - auc)
  const q2 = (2 * auc * auc) / (1 + auc)
  const square = auc * auc
  const variance = (auc * (1 - auc) + (ill - 1) * (q1 - square) + (well - 1) * (q2 - square)) / (ill * well)
  const half = 1.96 * Math.sqrt(Math.max(0, variance))
  return `${auc.toFixed(3)} [${Math.max(0, auc - half).toFixed(2)}, ${Math.min(1, auc + half).toFixed(2)}]`
}
