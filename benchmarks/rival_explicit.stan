// The reference problem as a careful user of Stan writes it: people's functions and factors are sampled.
// Names are those of the parameters of nssi_bayes; `_raw` is to be multiplied by its scale, `_root` is a
// Cholesky factor. `x` are the factors. `e` is what is sampled of the functions: deviations in units of their residual
// covariance (`centred` 0), or the functions themselves (1).
data {
  int<lower=0, upper=1> centred;
  int n_people;
  int n_functions;
  int n_factors;
  int n_disorders;
  int n_covariates;
  int n_sites;
  int n_items;
  int n_categories;
  int n_regions;
  int n_networks;
  int n_confounds;
  int n_scanned;
  int n_answers;
  int n_scores;
  int n_signals;
  matrix[n_people, n_disorders] diagnosis;
  vector[n_people] burden;
  matrix[n_people, n_covariates] covariate;
  matrix[n_people, n_sites] site;
  // what was observed, measure after measure; `*_end[m]` is where measure m ends
  array[n_answers] int<lower=1> answer;
  array[n_answers] int<lower=1> answer_person;
  array[n_items] int answer_end;
  array[n_items] int<lower=1> function_of;
  vector[n_scores] score;
  array[n_scores] int<lower=1> score_person;
  array[n_factors] int score_end;
  vector<lower=0>[n_factors] score_sd;
  vector[n_signals] signal;
  vector<lower=0>[n_signals] signal_variance;
  array[n_signals] int<lower=1> signal_scan;
  array[n_regions] int signal_end;
  array[n_scanned] int<lower=1> scan_person;
  array[n_regions] int<lower=1> network_of;
  matrix[n_scanned, n_confounds] confound;
  matrix[n_functions, n_factors] B_mu;
  matrix[n_functions, n_factors] B_sigma;
}
transformed data {
  matrix[n_scanned, n_disorders] scan_diagnosis = diagnosis[scan_person];
  vector[n_scanned] scan_burden = burden[scan_person];
  matrix[n_scanned, n_sites] scan_site = site[scan_person];
}
parameters {
  cholesky_factor_corr[n_functions] Omega_root;
  vector<lower=0>[n_functions] tau_mean;
  array[n_functions] sum_to_zero_vector[n_disorders] A_raw;
  vector[n_functions] level_burden;
  matrix[n_functions, n_factors] B;
  vector<lower=0>[n_functions] tau_slope;
  array[n_functions, n_factors] sum_to_zero_vector[n_disorders] B_disorder_raw;
  matrix[n_functions, n_covariates] G;
  vector<lower=0>[n_functions] tau_site;
  array[n_functions] sum_to_zero_vector[n_sites] u_site_raw;
  vector[n_factors] mu_x;
  matrix[n_factors, n_disorders] M;
  vector<lower=0>[n_factors] sigma_x;
  matrix[n_factors, n_covariates] N;
  cholesky_factor_corr[n_factors] Omega_x_root;
  vector<lower=0>[n_items] lambda;
  array[n_items] simplex[n_categories] category_probability_3;
  vector[n_regions] mu;
  real<lower=0> tau_m;
  array[n_regions] sum_to_zero_vector[n_disorders] m_raw;
  matrix[n_networks, n_functions] L_network;
  vector<lower=0>[n_functions] tau_roi;
  matrix[n_regions, n_functions] L_offset_raw;
  matrix[n_regions, n_confounds] confound_slope;
  vector<lower=0>[n_regions] sigma;
  vector[n_regions] m_burden;
  matrix[n_regions, n_factors] D;
  real<lower=0> tau_site_neural;
  array[n_regions] sum_to_zero_vector[n_sites] site_neural_raw;
  matrix[n_people, n_factors] x;
  matrix[n_people, n_functions] e;
}
model {
  matrix[n_people, n_factors] x_mean = rep_matrix(mu_x', n_people) + diagnosis * M' + covariate * N';
  matrix[n_people, n_functions] level
    = covariate * G' + burden * level_burden' + x * B';
  matrix[n_people, n_functions] eta;
  for (f in 1:n_functions) {
    level[:, f] += tau_mean[f] * (diagnosis * A_raw[f]) + tau_site[f] * (site * u_site_raw[f]);
    for (p in 1:n_factors)
      level[:, f] += tau_slope[f] * (diagnosis * B_disorder_raw[f, p]) .* x[:, p];
  }
  if (centred) {
    eta = e;
    target += std_normal_lpdf(to_vector(mdivide_left_tri_low(Omega_root, (e - level)')))
              - n_people * sum(log(diagonal(Omega_root)));
  } else {
    eta = level + e * Omega_root';
    to_vector(e) ~ std_normal();
  }
  {
    matrix[n_factors, n_factors] root = diag_pre_multiply(sigma_x, Omega_x_root);
    target += std_normal_lpdf(to_vector(mdivide_left_tri_low(root, (x - x_mean)')))
              - n_people * sum(log(diagonal(root)));
  }
  {
    int first = 1;
    for (p in 1:n_factors) {
      score[first:score_end[p]] ~ normal(x[score_person[first:score_end[p]], p], score_sd[p]);
      first = score_end[p] + 1;
    }
  }
  {
    int first = 1;
    for (j in 1:n_items) {
      answer[first:answer_end[j]] ~ ordered_logistic(
        lambda[j] * eta[answer_person[first:answer_end[j]], function_of[j]],
        logit(cumulative_sum(category_probability_3[j])[1:(n_categories - 1)]));
      first = answer_end[j] + 1;
    }
  }
  {
    matrix[n_regions, n_functions] L = L_network[network_of] + diag_post_multiply(L_offset_raw, tau_roi);
    matrix[n_scanned, n_regions] expected = rep_matrix(mu', n_scanned) + confound * confound_slope'
      + scan_burden * m_burden' + x[scan_person] * D' + eta[scan_person] * L';
    int first = 1;
    for (r in 1:n_regions) {
      expected[:, r] += tau_m * (scan_diagnosis * m_raw[r])
                        + tau_site_neural * (scan_site * site_neural_raw[r]);
      signal[first:signal_end[r]] ~ normal(
        expected[signal_scan[first:signal_end[r]], r],
        sqrt(square(sigma[r]) + signal_variance[first:signal_end[r]]));
      first = signal_end[r] + 1;
    }
  }
  Omega_root ~ lkj_corr_cholesky(1);
  tau_mean ~ normal(0, 0.5);
  level_burden ~ normal(0, 0.25);
  to_vector(B) ~ normal(to_vector(B_mu), to_vector(B_sigma));
  tau_slope ~ normal(0, 0.15);
  to_vector(G) ~ normal(0, 0.25);
  tau_site ~ normal(0, 0.25);
  for (f in 1:n_functions) {
    A_raw[f] ~ std_normal();
    u_site_raw[f] ~ std_normal();
    for (p in 1:n_factors) B_disorder_raw[f, p] ~ std_normal();
  }
  mu_x ~ normal(0, 0.5);
  to_vector(M) ~ normal(0, 0.5);
  sigma_x ~ std_normal();
  to_vector(N) ~ normal(0, 0.25);
  Omega_x_root ~ lkj_corr_cholesky(1);
  lambda ~ lognormal(0.5, 0.5);
  mu ~ normal(0, 0.5);
  tau_m ~ normal(0, 0.25);
  to_vector(L_network) ~ normal(0, 0.15);
  tau_roi ~ normal(0, 0.1);
  to_vector(L_offset_raw) ~ std_normal();
  to_vector(confound_slope) ~ normal(0, 0.25);
  sigma ~ std_normal();
  m_burden ~ normal(0, 0.15);
  to_vector(D) ~ normal(0, 0.15);
  tau_site_neural ~ normal(0, 0.25);
  for (r in 1:n_regions) {
    m_raw[r] ~ std_normal();
    site_neural_raw[r] ~ std_normal();
  }
}
