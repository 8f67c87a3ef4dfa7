// The reference problem as a careful user of Stan writes it who integrates people out, as ours does: their
// factors in closed form, their functions by Gauss-Hermite nodes that a pilot has placed. What the items of a
// function say of a person is taken at the points of a Chebyshev curve, and read off at the nodes.
// Names are those of the parameters of nssi_bayes; `_raw` is to be multiplied by its scale, `_root` is a
// Cholesky factor. `x` are the factors, `eta` the functions.
data {
  int n_people;
  int n_functions;
  int n_factors;
  int n_disorders;
  int n_covariates;
  int n_sites;
  int n_items;
  int n_regions;
  int n_networks;
  int n_confounds;
  int n_scanned;
  int n_answers;
  int n_nodes;
  int n_curve;
  matrix[n_people, n_disorders] diagnosis;
  vector[n_people] burden;
  matrix[n_people, n_covariates] covariate;
  matrix[n_people, n_sites] site;
  // people by item and category; `answer_end[j, c]` is where category c of item j ends
  array[n_answers] int<lower=1> answer_person;
  array[n_items, 3] int answer_end;
  array[n_items] int<lower=1> function_of;
  matrix[n_people, n_factors] score;
  matrix[n_people, n_factors] score_precision;  // 0: not observed
  array[n_people] int<lower=0> scan_of;
  array[n_scanned] int<lower=0> n_seen;
  array[n_scanned, n_regions] int<lower=0> seen;
  matrix[n_scanned, n_regions] signal;
  matrix[n_scanned, n_regions] signal_variance;
  array[n_scanned] int<lower=1> scan_person;
  array[n_regions] int<lower=1> network_of;
  matrix[n_scanned, n_confounds] confound;
  matrix[n_functions, n_factors] B_mu;
  matrix[n_functions, n_factors] B_sigma;
  // of each person: nodes, their log-weights, where the curves are taken, and from these to the nodes
  array[n_people] matrix[n_nodes, n_functions] node;
  matrix[n_nodes, n_people] log_weight;
  array[n_functions] matrix[n_curve, n_people] abscissa;
  array[n_people] matrix[n_nodes, n_functions * n_curve] interpolation;
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
  array[n_items] simplex[3] category_probability_3;
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
}
model {
  array[n_functions] matrix[n_curve, n_people] curve;
  for (f in 1:n_functions) curve[f] = rep_matrix(0, n_curve, n_people);
  {
    int first = 1;
    for (j in 1:n_items) {
      int f = function_of[j];
      vector[2] cut = logit(cumulative_sum(category_probability_3[j])[1:2]);
      real log_gap = log1m_exp(cut[1] - cut[2]);
      for (c in 1:3) {
        int size = answer_end[j, c] - first + 1;
        array[size] int who = answer_person[first:answer_end[j, c]];
        matrix[n_curve, size] t = lambda[j] * abscissa[f][:, who];
        if (c == 1) curve[f][:, who] += log_inv_logit(cut[1] - t);
        if (c == 2) curve[f][:, who] += log_inv_logit(cut[2] - t) + log_inv_logit(t - cut[1]) + log_gap;
        if (c == 3) curve[f][:, who] += log_inv_logit(t - cut[2]);
        first = answer_end[j, c] + 1;
      }
    }
  }
  {
    matrix[n_people, n_factors] x_mean = rep_matrix(mu_x', n_people) + diagnosis * M' + covariate * N';
    matrix[n_people, n_functions] level = covariate * G' + burden * level_burden';
    array[n_functions, n_factors] vector[n_people] by_disorder;
    matrix[n_regions, n_functions] L = L_network[network_of] + diag_post_multiply(L_offset_raw, tau_roi);
    matrix[n_scanned, n_regions] rest = signal - (rep_matrix(mu', n_scanned) + confound * confound_slope'
                                                  + scan_burden * m_burden');
    matrix[n_regions, n_factors + n_functions] DL = append_col(D, L);
    matrix[n_factors, n_factors] x_precision = chol2inv(diag_pre_multiply(sigma_x, Omega_x_root));
    matrix[n_functions, n_functions] precision = chol2inv(Omega_root);
    int both = n_factors + n_functions;
    real log_dets = -sum(log(sigma_x)) - sum(log(diagonal(Omega_x_root))) - sum(log(diagonal(Omega_root)));
    for (f in 1:n_functions) {
      level[:, f] += tau_mean[f] * (diagnosis * A_raw[f]) + tau_site[f] * (site * u_site_raw[f]);
      for (p in 1:n_factors) by_disorder[f, p] = tau_slope[f] * (diagnosis * B_disorder_raw[f, p]);
    }
    for (r in 1:n_regions)
      rest[:, r] -= tau_m * (scan_diagnosis * m_raw[r]) + tau_site_neural * (scan_site * site_neural_raw[r]);
    for (i in 1:n_people) {
      matrix[n_functions, n_factors] slope = B;
      vector[n_factors] mean_x = x_mean[i]';
      vector[n_functions] l = level[i]';
      matrix[both, both] K;  // of factors and functions together: precision, and precision times mean
      vector[both] k;
      real constant = log_dets;
      for (f in 1:n_functions) for (p in 1:n_factors) slope[f, p] += by_disorder[f, p][i];
      {
        matrix[n_factors, n_functions] SO = slope' * precision;
        vector[n_factors] of_mean = x_precision * mean_x;
        vector[n_functions] of_level = precision * l;
        K[1:n_factors, 1:n_factors] = add_diag(x_precision + SO * slope, score_precision[i]');
        K[1:n_factors, (n_factors + 1):both] = -SO;
        K[(n_factors + 1):both, 1:n_factors] = -SO';
        K[(n_factors + 1):both, (n_factors + 1):both] = precision;
        k[1:n_factors] = of_mean + (score_precision[i] .* score[i])' - SO * l;
        k[(n_factors + 1):both] = of_level;
        constant -= 0.5 * (dot_product(mean_x, of_mean) + dot_product(l, of_level));
      }
      if (scan_of[i]) {
        int s = scan_of[i];
        array[n_seen[s]] int those = seen[s, 1:n_seen[s]];
        vector[n_seen[s]] variance = square(sigma[those]) + signal_variance[s, those]';
        vector[n_seen[s]] e = rest[s, those]';
        matrix[n_seen[s], both] weighted = diag_pre_multiply(inv(variance), DL[those]);
        K += DL[those]' * weighted;
        k += weighted' * e;
        constant -= 0.5 * (sum(log(variance)) + sum(square(e) ./ variance));
      }
      {
        matrix[n_factors, n_factors] root = cholesky_decompose(K[1:n_factors, 1:n_factors]);
        matrix[n_factors, n_functions] W = mdivide_left_tri_low(root, K[1:n_factors, (n_factors + 1):both]);
        vector[n_factors] w = mdivide_left_tri_low(root, k[1:n_factors]);
        matrix[n_functions, n_functions] P = K[(n_factors + 1):both, (n_factors + 1):both] - crossprod(W);
        vector[n_functions] h = k[(n_factors + 1):both] - W' * w;
        vector[n_functions * n_curve] curves;
        for (f in 1:n_functions) curves[((f - 1) * n_curve + 1):(f * n_curve)] = curve[f][:, i];
        target += constant + 0.5 * dot_self(w) - sum(log(diagonal(root)))
          + log_sum_exp(log_weight[:, i] + node[i] * h - 0.5 * rows_dot_product(node[i] * P, node[i])
                        + interpolation[i] * curves);
      }
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
